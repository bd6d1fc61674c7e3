"""Files in and out: arrays are checked when read, and nothing is ever written in part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tools.problem import WRONG_PROGRAM, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_writable(option: str, path: str) -> None:
    """Refuse before a long run what could not be written after it."""
    target = Path(path)
    if target.is_dir():
        raise Problem(f"{option}: '{path}' is a directory")
    if not target.parent.is_dir():
        raise Problem(f"{option}: there is no directory '{target.parent}'")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise Problem(f"{option}: no permission to write '{path}'")


@contextmanager
def atomic(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name whole, or not at all."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # a device or pipe cannot be replaced
        with open(target, "wb") as device:
            yield device
        return
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _mode(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def write_bytes(path: str | Path, data: bytes) -> None:
    with atomic(path) as file:
        file.write(data)


def write_arrays(arrays: Mapping[str, NDArray[Any]], paths: Mapping[str, str]) -> None:
    """``--out name=path`` for every name."""
    import numpy as np

    for name, path in paths.items():
        with atomic(path) as file:
            np.save(file, arrays[name], allow_pickle=False)


def read_bytes(path: str) -> bytes:
    """A program file; what is wrong with it is said in the user's words."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise Problem(f"no file '{path}'") from None
    except IsADirectoryError:
        raise Problem(f"'{path}' is a directory") from None
    except OSError as error:
        raise Problem(f"cannot read '{path}': {error.strerror}") from None


def decode_text(path: str, data: bytes) -> str:
    """Assembly text, which is UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Problem(
            f"byte {data[error.start]:#04x} is not UTF-8 text",
            where=f"{path}:{line}",
            code=WRONG_PROGRAM,
            help="neither assembly text nor a Presil object file",
        ) from None
