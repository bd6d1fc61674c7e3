"""Chip files: load, extend, override, validate.

A chip file is TOML; every value carries its unit (in the value or in the table's heading) and a
comment ``# status: source`` with status published, derived, calibrated or assumed. ``extends =
"other"`` starts from another chip; ``--with key=value`` overrides single keys.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

CHIP_DIRECTORY = Path(__file__).parent / "chips"


class ChipError(ValueError):
    """A chip file or override that cannot be used; the message names file and key."""


_UNITS = {
    "": 1.0, "Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9,
    "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30,
    "B/s": 1.0, "MB/s": 1e6, "GB/s": 1e9, "TB/s": 1e12,
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9,
}  # fmt: skip
_DIMENSION = {
    "frequency": ("Hz", "kHz", "MHz", "GHz"),
    "bytes": ("B", "kB", "MB", "GB", "KiB", "MiB", "GiB"),
    "rate": ("B/s", "MB/s", "GB/s", "TB/s"),
    "time": ("s", "ms", "us", "ns"),
}


def quantity(text: str, dimension: str) -> float:
    """A number with a unit in the base unit (Hz, B, B/s, s).

    >>> quantity("900 MHz", "frequency")
    900000000.0
    """
    match = re.fullmatch(r"\s*([-+0-9.eE]+)\s*([A-Za-z/]*)\s*", text)
    units = _DIMENSION[dimension]
    if not match or match[2] not in units:
        raise ValueError(f"'{text}' is no {dimension}; write it with one of {', '.join(units)}")
    value = float(match[1]) * _UNITS[match[2]]
    if value <= 0:
        raise ValueError(f"'{text}' is not positive")
    return value


def _reader(dimension: str) -> BeforeValidator:
    def read(value: Any) -> float:
        if not isinstance(value, str):
            raise ValueError(f"needs a unit: one of {', '.join(_DIMENSION[dimension])}")
        return quantity(value, dimension)

    return BeforeValidator(read)


Frequency = Annotated[float, _reader("frequency")]
Bytes = Annotated[float, _reader("bytes")]
Rate = Annotated[float, _reader("rate")]
Seconds = Annotated[float, _reader("time")]


def _accumulation(own: str, kind: str) -> AfterValidator:
    """A model of accumulation by name; `own` stands for what the unit does without one."""

    def read(text: str) -> str:
        if text != own:
            from emulator.numerics.accumulate import Int32, parse_model

            if isinstance(parse_model(text), Int32) != (own == "int32"):
                raise ValueError(f"'{text}' does not add {kind}")
        return text

    return AfterValidator(read)


FloatSums = Annotated[str, _accumulation("exact_chunk", "floats")]
IntegerSums = Annotated[str, _accumulation("int32", "integers")]


class Spec(BaseModel):
    """Base of every table in a chip file: frozen, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


SpecT = TypeVar("SpecT", bound=Spec)


def chip_names() -> list[str]:
    """The chips that ship with Presil."""
    return sorted(path.stem for path in CHIP_DIRECTORY.glob("*.toml"))


def chip_path(name: str) -> Path:
    """The file of a chip: a shipped name, or a path to a ``.toml`` file."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise ChipError(f"no chip file '{name}'")
        return path
    path = CHIP_DIRECTORY / f"{name}.toml"
    if not path.is_file():
        near = difflib.get_close_matches(name, chip_names(), 1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; chips: {', '.join(chip_names())}"
        raise ChipError(f"no chip '{name}'{hint}")
    return path


def read_tables(name: str, overrides: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The merged tables of a chip: its ``extends`` chain, the file, then the overrides."""
    tables = _extended(chip_path(name), ())
    for key, text in (overrides or {}).items():
        _override(tables, key, text)
    return tables


def _extended(path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    if path in chain:
        raise ChipError(f"{path.name}: extends itself through {' -> '.join(p.stem for p in chain)}")
    try:
        own = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ChipError(f"{path}: not valid TOML: {error}") from None
    base_name = own.pop("extends", None)
    if base_name is None:
        return own
    beside = path.parent / f"{base_name}.toml"
    base = _extended(beside if beside.is_file() else chip_path(base_name), (*chain, path))
    return _merge(base, own)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _override(tables: dict[str, Any], key: str, text: str) -> None:
    """Set ``a.b.c`` to the text, read as TOML where it is (``4``, ``[1, 2]``), else as a string."""
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text
    # A key of the file may itself contain dots ("mem.read" in [latency]), so match greedily.
    table, rest = tables, key
    while True:
        if rest in table:
            table[rest] = value
            return
        head = next(
            (k for k in table if isinstance(table[k], dict) and rest.startswith(f"{k}.")), None
        )
        if head is None:
            break
        table[head] = dict(table[head])
        table, rest = table[head], rest[len(head) + 1 :]
    known = _flat_keys(tables)
    near = difflib.get_close_matches(key, known, 1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; keys: {', '.join(known)}"
    raise ChipError(f"--with {key}: no such key in the chip file{hint}")


def _flat_keys(tables: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in tables.items():
        if isinstance(value, dict):
            keys += _flat_keys(value, f"{prefix}{key}.")
        else:
            keys.append(prefix + key)
    return keys


def validate(model: type[SpecT], tables: Mapping[str, Any], origin: str) -> SpecT:
    """Build the spec, or raise `ChipError` naming file, key, and what would be right."""
    try:
        return model.model_validate(dict(tables))
    except ValidationError as error:
        lines = []
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                known = _flat_keys(tables)
                near = difflib.get_close_matches(where, [k for k in known if k != where], 1)
                message = "unknown key" + (f"; did you mean '{near[0]}'?" if near else "")
            lines.append(f"{origin}: {where}: {message}" if where else f"{origin}: {message}")
        raise ChipError("\n".join(lines)) from None


def provenance(name: str) -> dict[str, str]:
    """Key -> the comment beside it (``status: source``), along the ``extends`` chain."""
    path = chip_path(name)
    text = path.read_text()
    base = tomllib.loads(text).get("extends")
    found = provenance(base) if base else {}
    table = ""
    for line in text.splitlines():
        if match := re.match(r"\s*\[([^\]]+)\]", line):
            table = match[1] + "."
        elif match := re.match(r'\s*"?([\w.-]+)"?\s*=[^#]*#\s*(.+)', line):
            found[table + match[1]] = match[2]
    return found
