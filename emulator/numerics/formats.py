"""The element formats: one row each, limits derived from the row.

The order of the rows is the number a format has in compiled code (`_core.Fmt`); a new format goes
at the end.
Sources: OCP OFP8 v1.0, OCP MX v1.0, IEEE 754-2019, HiFloat8 (arXiv 2409.16626).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["float", "scale", "tapered", "int"]
Nan = Literal["ieee", "all-ones", "none", "minus-zero"]


@dataclass(frozen=True, slots=True)
class Format:
    """One element format.

    kind      "float": sign, exponent, mantissa with subnormals; "scale": unsigned power of two
              (e8m0); "tapered": hif8; "int": two's complement, or unsigned if `signed` is false.
    bits      width of a code; stored one code per element, in the low bits of `storage` (tf32: in
              the high bits).
    nan       "ieee": top exponent, mantissa not 0; "all-ones": every bit but the sign is 1 (e8m0:
              every bit); "minus-zero": the code of -0 (hif8); "none".
    ml_dtypes name of the dtype of the same codes in ml_dtypes or numpy; "" if there is none.
    """

    index: int
    name: str
    kind: Kind
    bits: int
    exponent: int
    mantissa: int
    bias: int
    has_inf: bool
    nan: Nan
    storage: str
    ml_dtypes: str
    signed: bool

    @property
    def code_bytes(self) -> int:
        """Bytes of one code in memory."""
        return {"int8": 1, "uint8": 1, "uint16": 2, "uint32": 4, "int32": 4}[self.storage]

    @property
    def code_shift(self) -> int:
        """Unused low bits of a stored code: tf32 is kept as a float32 whose low 13 bits are 0."""
        return 8 * self.code_bytes - self.bits if self.name == "tf32" else 0

    @property
    def max_code(self) -> int:
        """Code of the largest finite value, without the bits of `code_shift`."""
        if self.kind == "int":
            return (1 << (self.bits - self.signed)) - 1
        if self.kind == "scale":
            return (1 << self.bits) - 2
        if self.kind == "tapered":
            return 0b1101110  # exponent field 11, +, 111; mantissa 1 would be Inf
        ones = (1 << (self.exponent + self.mantissa)) - 1
        if self.has_inf:
            return ones - (1 << self.mantissa)
        return ones - (self.nan == "all-ones")

    @property
    def inf_code(self) -> int | None:
        """Code of +Inf, or None."""
        return self.max_code + 1 if self.has_inf else None

    @property
    def nan_code(self) -> int | None:
        """The canonical NaN, quiet and positive, or None."""
        if self.nan == "none":
            return None
        if self.nan == "ieee":  # the quiet bit is the first of the mantissa
            return self.max_code + 1 + (1 << (self.mantissa - 1))
        if self.nan == "minus-zero":
            return 1 << (self.bits - 1)
        return self.max_code + 1

    @property
    def max_finite(self) -> float:
        """Largest finite value."""
        if self.kind == "int":
            return float(self.max_code)
        if self.kind == "scale":
            return math.ldexp(1.0, self.max_code - self.bias)
        if self.kind == "tapered":
            return 2.0**15
        exponent = (self.max_code >> self.mantissa) - self.bias
        fraction = self.max_code & ((1 << self.mantissa) - 1)
        return math.ldexp(1 + fraction / 2**self.mantissa, exponent)

    @property
    def min_finite(self) -> float:
        """Smallest (most negative) finite value."""
        if self.kind == "scale":
            return self.min_subnormal
        if self.kind == "int":
            return -self.max_finite - 1 if self.signed else 0.0
        return -self.max_finite

    @property
    def min_normal(self) -> float:
        """Smallest positive value with a full significand (1 for integers)."""
        if self.kind == "float":
            return 2.0 ** (1 - self.bias)
        return {"int": 1.0, "scale": 2.0**-self.bias, "tapered": 2.0**-15}[self.kind]

    @property
    def min_subnormal(self) -> float:
        """Smallest positive value."""
        if self.kind == "float":
            return 2.0 ** (1 - self.bias - self.mantissa)
        return {"int": 1.0, "scale": 2.0**-self.bias, "tapered": 2.0**-22}[self.kind]

    @property
    def span(self) -> float:
        """Largest over smallest magnitude: every value is an integer up to this, times one unit."""
        return max(self.max_finite, -self.min_finite) / self.min_subnormal

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next larger value."""
        return 1.0 if self.kind in ("int", "scale") else 2.0**-self.mantissa


# fmt: off
_Row = tuple[str, Kind, int, int, int, int, bool, Nan, str, str, bool]
_ROWS: tuple[_Row, ...] = (
    # name   kind     bits exp man bias inf    nan           storage   dtype             signed
    ("fp32",  "float",   32,  8,  23, 127, True,  "ieee",       "uint32", "float32",        True),
    ("tf32",  "float",   19,  8,  10, 127, True,  "ieee",       "uint32", "",               True),
    ("bf16",  "float",   16,  8,   7, 127, True,  "ieee",       "uint16", "bfloat16",       True),
    ("fp16",  "float",   16,  5,  10,  15, True,  "ieee",       "uint16", "float16",        True),
    ("e4m3",  "float",    8,  4,   3,   7, False, "all-ones",   "uint8",  "float8_e4m3fn",  True),
    ("e5m2",  "float",    8,  5,   2,  15, True,  "ieee",       "uint8",  "float8_e5m2",    True),
    ("e2m3",  "float",    6,  2,   3,   1, False, "none",       "uint8",  "float6_e2m3fn",  True),
    ("e3m2",  "float",    6,  3,   2,   3, False, "none",       "uint8",  "float6_e3m2fn",  True),
    ("e2m1",  "float",    4,  2,   1,   1, False, "none",       "uint8",  "float4_e2m1fn",  True),
    ("e8m0",  "scale",    8,  8,   0, 127, False, "all-ones",   "uint8",  "float8_e8m0fnu", False),
    ("hif8",  "tapered",  8,  4,   3,   0, True,  "minus-zero", "uint8",  "",               True),
    ("int8",  "int",      8,  0,   7,   0, False, "none",       "int8",   "int8",           True),
    ("int4",  "int",      4,  0,   3,   0, False, "none",       "int8",   "int4",           True),
    ("int32", "int",     32,  0,  31,   0, False, "none",       "int32",  "int32",          True),
    ("uint8", "int",      8,  0,   8,   0, False, "none",       "uint8",  "uint8",          False),
)
# fmt: on

FORMATS: tuple[Format, ...] = tuple(Format(index, *row) for index, row in enumerate(_ROWS))
BY_NAME: dict[str, Format] = {row.name: row for row in FORMATS}


def get_format(fmt: str | Format) -> Format:
    """The row of a name; a Format passes through. ValueError names the formats there are."""
    if isinstance(fmt, Format):
        return fmt
    row = BY_NAME.get(fmt)
    if row is None:
        raise ValueError(f"unknown format {fmt!r}; known: {', '.join(BY_NAME)}")
    return row
