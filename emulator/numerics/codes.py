"""Numbers to codes and back: `encode`, `decode`, and ml_dtypes arrays without a copy.

Codes are plain NumPy integers, one element each, in the `storage` dtype of the format (formats.py).
What becomes of overflow, NaN and Inf: see `encode`.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.numerics import _core
from emulator.numerics.formats import FORMATS, Format, get_format

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

ROUNDINGS: dict[str, int] = {
    "nearest-even": int(_core.Rounding.NEAREST_EVEN),
    "toward-zero": int(_core.Rounding.TOWARD_ZERO),
    "ties-away": int(_core.Rounding.TIES_AWAY),
    "stochastic": int(_core.Rounding.STOCHASTIC),
}

# dtypes of other libraries that say what their codes mean. Plain float32 and integers are numbers.
_FOREIGN: dict[str, Format] = {
    row.ml_dtypes: row
    for row in FORMATS
    if row.ml_dtypes and (row.kind != "int" or row.ml_dtypes == "int4") and row.name != "fp32"
}


def format_of(array: Array) -> str | None:
    """Name of the format that an array's dtype stands for (ml_dtypes, float16, float32), or None.

    Integer arrays are numbers, or codes of anything: None.
    """
    name = array.dtype.name
    if name == "float32":
        return "fp32"
    row = _FOREIGN.get(name)
    return row.name if row else None


def as_codes(array: Array) -> tuple[Array, str]:
    """An ml_dtypes, float16 or float32 array as (codes, format name), sharing its memory.

    TypeError if the dtype names no format.
    """
    name = format_of(array)
    if name is None:
        known = ", ".join(["float32", *_FOREIGN])
        raise TypeError(f"dtype {array.dtype.name} names no format; known: {known}")
    return array.view(get_format(name).storage), name


def as_ml_dtypes(codes: Array, fmt: str | Format) -> Array:
    """Codes as an array of the ml_dtypes (or NumPy) dtype of the format, sharing their memory.

    TypeError if there is no such dtype or the codes are of the wrong size; ImportError, with the
    remedy, if ml_dtypes is not installed.
    """
    row = get_format(fmt)
    if not row.ml_dtypes:
        raise TypeError(f"neither ml_dtypes nor NumPy has a dtype for {row.name}")
    codes = checked_codes(codes, row)
    if hasattr(np, row.ml_dtypes):
        return codes.view(row.ml_dtypes)
    try:
        library = importlib.import_module("ml_dtypes")
    except ImportError as error:
        raise ImportError(
            f"{row.name} arrays need the package ml_dtypes: pip install ml_dtypes"
        ) from error
    return codes.view(getattr(library, row.ml_dtypes))


def encode(
    array: npt.ArrayLike,
    fmt: str | Format,
    rounding: str = "nearest-even",
    saturate: bool = True,
    seed: int = 0,
    *,
    first: int = 0,
) -> Array:
    """Round numbers to a format, each once.

    array: any shape; floating point (ml_dtypes included), integer or bool. Returns codes of the
    same shape in the format's storage dtype.

    rounding: nearest-even, toward-zero, ties-away (halves away from zero) or stochastic, which
    draws from (seed, first + flat index) and so does not depend on how an array is cut up. hif8 has
    one nearest mode, ties away, and nearest-even means that.

    saturate: too large, Inf included, becomes the largest finite value (fp32 has no such mode; a
    zero in e8m0 becomes its smallest value; integers clamp to their full range). Without it: Inf
    where the format has it, else NaN (e4m3, e8m0), else still the largest value (e2m3, e3m2, e2m1);
    integers keep their low bits. Rounding toward zero does not overflow to Inf or NaN unless the
    input is infinite.

    NaN becomes the canonical, positive NaN; where there is none the largest value (e2m3, e3m2,
    e2m1: a NaN must not pass for something small) or, in integers, 0. e8m0 has no sign: a negative
    number is NaN.

    Raises ValueError for an unknown format or rounding and for integers beyond 2^53, TypeError for
    other dtypes.
    """
    row = get_format(fmt)
    mode = ROUNDINGS.get(rounding)
    if mode is None:
        raise ValueError(f"unknown rounding {rounding!r}; known: {', '.join(ROUNDINGS)}")
    numbers = to_numbers(array)
    out = np.empty(numbers.shape, dtype=row.storage)
    kernel: Any = _core.encode64 if numbers.dtype == np.float64 else _core.encode32
    seed &= 0xFFFFFFFFFFFFFFFF
    kernel(row.index, numbers.reshape(-1), _bytes(out), saturate, mode, seed, first)
    return out


def decode(codes: npt.ArrayLike, fmt: str | Format) -> Floats:
    """The values of codes as float32, exact for every format but int32 (nearest even).

    codes: any shape; the format's storage dtype, another integer of that size, or the matching
    ml_dtypes. TypeError otherwise.
    """
    row = get_format(fmt)
    array = checked_codes(np.asarray(codes), row)
    out = np.empty(array.shape, dtype=np.float32)
    _core.decode32(row.index, _bytes(np.ascontiguousarray(array)), out.reshape(-1))
    return out


def decode64(codes: npt.ArrayLike, fmt: str | Format) -> npt.NDArray[np.float64]:
    """As `decode`, to float64: exact for every format."""
    row = get_format(fmt)
    array = checked_codes(np.asarray(codes), row)
    out = np.empty(array.shape, dtype=np.float64)
    _core.decode64(row.index, _bytes(np.ascontiguousarray(array)), out.reshape(-1))
    return out


def round_to(array: npt.ArrayLike, fmt: str | Format, **options: Any) -> Floats:
    """decode(encode(array)): the float32 values an array has in a format. Options: see `encode`."""
    return decode(encode(array, fmt, **options), fmt)


def to_numbers(array: npt.ArrayLike) -> npt.NDArray[np.float32] | npt.NDArray[np.float64]:
    """Any numeric array as contiguous float32, or float64 where float32 could lose something.

    Formats are decoded, integers converted. ValueError for integers beyond 2^53, TypeError for
    other dtypes.
    """
    a = np.asarray(array)
    name = format_of(a)
    if name not in (None, "fp32"):
        return decode(a, str(name))
    if a.dtype in (np.float32, np.float64):
        return np.require(a, a.dtype.newbyteorder("="), "C")
    if a.dtype.kind == "f" and not a.dtype.isnative:
        return to_numbers(a.astype(a.dtype.newbyteorder("=")))
    if a.dtype.kind == "b" or (a.dtype.kind in "iu" and a.dtype.itemsize <= 2):
        return np.ascontiguousarray(a, dtype=np.float32)
    if a.dtype.kind in "iu":
        if a.size and a.dtype.itemsize == 8 and (a.max() > 2**53 or a.min() < -(2**53)):
            raise ValueError("integers beyond 2^53 have no exact float64; split or scale them")
        return np.ascontiguousarray(a, dtype=np.float64)
    raise TypeError(f"cannot take numbers from an array of dtype {a.dtype.name}")


def _bytes(array: Array) -> npt.NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)


def checked_codes(array: Array, row: Format) -> Array:
    """The array as codes of a format, in its storage dtype, sharing memory; TypeError otherwise."""
    name = format_of(array)
    same_bits = {row.name} | ({"fp32"} if row.name == "tf32" else set())
    plain = array.dtype.kind in "iu" and name is None
    if array.dtype.itemsize == row.code_bytes and (plain or name in same_bits):
        return array.view(row.storage)
    raise TypeError(
        f"codes of {row.name} are {row.storage}, not {array.dtype.name}"
        + ("; numbers are turned into codes by encode()" if array.dtype.kind == "f" else "")
    )
