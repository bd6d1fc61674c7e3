"""Arrays of ``--in name=FILE`` from .npy, .npz and .safetensors files.

Of a file with several arrays the one called `name` is taken, or ``FILE:key`` says which. Formats
that NumPy does not know come in as codes from .npy and .npz (which keep no more than their width)
and as numbers from .safetensors (which says what they are).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.problem import Problem, suggestion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Formats by their name in a safetensors header; the rest of its names are NumPy's types.
_FORMATS = {
    "BF16": "bf16", "F8_E4M3": "e4m3", "F8_E5M2": "e5m2", "F8_E8M0": "e8m0",
}  # fmt: skip


def read_array(name: str, path: str) -> NDArray[Any]:
    """The array of ``--in name=path``, float or integer; `Problem` says what is wrong with it."""
    import numpy as np

    file, key = _parted(path)
    try:
        if file.endswith(".safetensors"):
            array = _safetensor(name, file, key)
        else:
            array = _numpy(name, file, key)
    except FileNotFoundError:
        raise Problem(f"--in {name}: no file '{file}'") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        kind = ".npz archive" if file.endswith(".npz") else ".npy array"
        raise Problem(f"--in {name}: '{file}' is no {kind}: {error}") from None
    if array.dtype.kind == "V" and array.dtype.itemsize in (1, 2) and not array.dtype.names:
        # numpy.save keeps only the width of an ml_dtypes array.
        array = array.view(np.uint8 if array.dtype.itemsize == 1 else np.uint16)
    if array.dtype.kind not in "fiub":
        raise Problem(f"--in {name}: '{path}' holds {array.dtype}; floats or integers are needed")
    return array


def _parted(path: str) -> tuple[str, str | None]:
    """A path and the key after its last colon, where the whole is no file itself."""
    file, colon, key = path.rpartition(":")
    if not colon or Path(path).exists() or not file.endswith((".npz", ".safetensors")):
        return path, None
    return file, key


def _key(name: str, file: str, key: str | None, keys: Sequence[str]) -> str:
    """Which of a file's arrays is meant."""
    if key is not None:
        if key in keys:
            return key
        raise Problem(
            f"--in {name}: '{file}' has no array '{key}'", help=suggestion(key, keys, "arrays")
        )
    if name in keys:
        return name
    if len(keys) == 1:
        return keys[0]
    first = keys[0] if keys else "key"
    raise Problem(
        f"--in {name}: '{file}' holds {len(keys)} arrays, none called '{name}'",
        help=f"say which: --in {name}={file}:{first}",
    )


def _numpy(name: str, file: str, key: str | None) -> NDArray[Any]:
    import numpy as np

    loaded = np.load(file, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        array: NDArray[Any] = loaded[_key(name, file, key, loaded.files)]
        return array


def _safetensor(name: str, file: str, key: str | None) -> NDArray[Any]:
    from safetensors import SafetensorError, deserialize, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            chosen = _key(name, file, key, sorted(tensors.keys()))
            kind: str = tensors.get_slice(chosen).get_dtype()
            if kind not in _FORMATS:
                array: NDArray[Any] = tensors.get_tensor(chosen)
                return array
        # The library hands out formats that NumPy lacks only as bytes, of all tensors at once.
        found = dict(deserialize(Path(file).read_bytes()))[chosen]  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise Problem(f"--in {name}: '{file}' is no .safetensors file: {error}") from None
    return _numbers(kind, bytes(found["data"]), found["shape"])


def _numbers(kind: str, data: bytes, shape: Sequence[int]) -> NDArray[np.float32]:
    import numpy as np

    from emulator.numerics import decode, get_format

    row = get_format(_FORMATS[kind])
    return decode(np.frombuffer(data, row.storage).reshape(shape), row)
