"""An array in a format: codes, scales where there are any, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.numerics.blocks import BLOCK_FORMATS, SCALE_MODES, dequantize_blocks, quantize_blocks
from emulator.numerics.codes import (
    Array,
    Floats,
    as_ml_dtypes,
    decode,
    encode,
    format_of,
    to_numbers,
)
from emulator.numerics.formats import FORMATS, Format, get_format

SCALES = ("none", "tensor", "channel")  # of element formats; block formats have SCALE_MODES


@dataclass(frozen=True, eq=False, repr=False)
class Quantized:
    """An array in a format.

    codes     the shape of the array, in the storage dtype of the (element) format
    scales    what values are multiplied with: None (no scale), a float32 array that broadcasts
              against the codes, or the codes of block scales (e8m0; nvfp4: e4m3)
    axis      along which blocks lie or channels are contracted
    tensor_scale   nvfp4's float32 for the whole tensor, else 1
    """

    codes: Array
    format: str
    scales: Array | None = None
    axis: int = -1
    tensor_scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape

    def dequantize(self) -> Floats:
        """The values as float32, of the same shape."""
        if self.format in BLOCK_FORMATS:
            assert self.scales is not None
            return dequantize_blocks(
                self.codes, self.scales, self.format, self.axis, self.tensor_scale
            )
        values = decode(self.codes, self.format)
        return values if self.scales is None else values * self.scales

    def to_ml_dtypes(self) -> Array:
        """The codes as an array of ml_dtypes (or NumPy), sharing their memory; scales apart.

        TypeError where neither has such a dtype, ImportError without ml_dtypes.
        """
        block = BLOCK_FORMATS.get(self.format)
        return as_ml_dtypes(self.codes, block.element if block else self.format)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "1"
        scales = ""
        if self.scales is not None:
            kind = BLOCK_FORMATS[self.format].scale if self.format in BLOCK_FORMATS else "fp32"
            scales = f", {self.scales.size:,} {kind} scale{'s' * (self.scales.size != 1)}"
        return f"<{shape} {self.format}{scales}>"


def quantize(
    array: npt.ArrayLike,
    format: str,
    *,
    scale: str | None = None,
    axis: int = -1,
    rounding: str = "nearest-even",
    saturate: bool = True,
    seed: int = 0,
) -> Quantized:
    """Numbers of any shape as codes of a format, by name (`presil.formats()` lists them).

    Element formats: `scale` is none (the default, but for int8 and int4), tensor (largest magnitude
    over the format's largest) or channel (the same for every index but that of `axis`); `rounding`,
    `saturate` and `seed` as in `emulator.numerics.encode`. Block formats: `scale` is floor (the
    default), rceil, ceil or even, blocks lie along `axis`, elements are rounded to nearest even.
    An ml_dtypes or float16 array of the same element format is taken as it is, sharing its memory.

    Raises ValueError for names that do not exist or go together, TypeError for other arrays.

    >>> q = quantize([[1.0, -2.5, 6.0]], "mxfp4", scale="rceil")
    >>> q, q.dequantize().tolist()
    (<1x3 mxfp4, 1 e8m0 scale>, [[1.0, -2.0, 6.0]])
    """
    if format in BLOCK_FORMATS:
        return _blocks(array, format, scale, axis, rounding, saturate)
    if format not in (row.name for row in FORMATS):
        known = ", ".join([*(row.name for row in FORMATS), *BLOCK_FORMATS])
        raise ValueError(f"unknown format {format!r}; known: {known}")
    row = get_format(format)
    given = np.asarray(array)
    if format_of(given) == row.name and scale in (None, "none"):
        return Quantized(given.view(row.storage), row.name)
    choice = scale or ("tensor" if row.name in ("int8", "int4") else "none")
    options: dict[str, Any] = {"rounding": rounding, "saturate": saturate, "seed": seed}
    if choice == "none":
        return Quantized(encode(given, row, **options), row.name)
    if choice not in SCALES:
        raise ValueError(f"unknown scale {choice!r} of {row.name}; known: {', '.join(SCALES)}")
    numbers = to_numbers(given).astype(np.float32, copy=False)
    factors = scale_factors(numbers, row, choice, axis)
    scaled = numbers / factors
    if row.kind == "int":  # the symmetric range
        scaled = np.clip(scaled, -row.max_finite, row.max_finite)
    return Quantized(encode(scaled, row, **options), row.name, factors, axis)


def _blocks(
    array: npt.ArrayLike, format: str, scale: str | None, axis: int, rounding: str, saturate: bool
) -> Quantized:
    if rounding != "nearest-even" or not saturate:
        raise ValueError(f"elements of {format} are rounded to nearest even and saturate")
    if scale is not None and (scale not in SCALE_MODES or BLOCK_FORMATS[format].tensor_scale):
        known = "none to choose" if BLOCK_FORMATS[format].tensor_scale else ", ".join(SCALE_MODES)
        raise ValueError(f"unknown scale {scale!r} of {format}; known: {known}")
    found = quantize_blocks(array, format, axis, scale or "floor")
    return Quantized(found.codes, found.fmt, found.scales, found.axis, found.tensor_scale)


def scale_factors(x: Floats, fmt: Format, scale: str, axis: int = -1) -> Floats:
    """float32 scales that bring the largest magnitude of what they belong to to the format's.

    `scale`: "tensor" gives a 0-d array, "channel" one per index but that of `axis`, which stays as
    an axis of 1. What is not finite does not count; 1 where everything is 0.
    """
    size = np.abs(np.where(np.isfinite(x), x, np.float32(0)))
    if scale == "tensor":
        return factors_of(np.asarray(size.max(initial=0)), fmt)
    return factors_of(size.max(axis, keepdims=True, initial=0), fmt)


def factors_of(largest: npt.NDArray[Any], fmt: Format) -> Floats:
    """The scales of largest magnitudes."""
    factors = (largest.astype(np.float64) / fmt.max_finite).astype(np.float32)
    return np.where(factors == 0, np.float32(1), factors)
