"""What SIMT arithmetic gives, on 32-bit patterns: Python integers, exact fractions, numpy float32.

Written from the rows of `isa.npu_simt` alone, as an oracle for the engine.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

WORD = 0xFFFFFFFF
NAN = 0x7FC00000
# Format -> digits of the significand, exponent of the last place of subnormals, its NaN.
FLOATS = {"fp32": (24, -149, NAN), "fp16": (11, -24, 0x7E00), "bf16": (8, -133, 0x7FC0)}


def signed(bits: int) -> int:
    return bits - (1 << 32) if bits >> 31 else bits


def as_integer(bits: int, kind: str) -> int:
    return signed(bits) if kind == "int32" else bits


def as_float(bits: int, kind: str = "fp32") -> float:
    """The number that a pattern stands for; every one is a double."""
    code = "<e" if kind == "fp16" else "<f"
    raw = bits << 16 & WORD if kind == "bf16" else bits
    size = struct.calcsize(code)
    value: float = struct.unpack(code, raw.to_bytes(4, "little")[:size])[0]
    return value


def nearest(exact: Fraction, kind: str) -> int:
    """The pattern nearest to a number that is not 0, ties to even; Inf where it is too large."""
    digits, last, _ = FLOATS[kind]
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    place = max(exponent - digits + 1, last)
    steps = round(size / Fraction(2) ** place)  # halves to even
    value = math.copysign(math.ldexp(steps, place), exact)
    return _pattern(value, kind)


def _pattern(value: float, kind: str) -> int:
    """The pattern of a double that the format holds exactly, or that is beyond its range."""
    try:
        raw = struct.pack("<e" if kind == "fp16" else "<f", value)
    except OverflowError:
        raw = struct.pack("<e" if kind == "fp16" else "<f", math.copysign(math.inf, value))
    bits = int.from_bytes(raw, "little")
    return bits >> 16 if kind == "bf16" else bits


def from_float(value: float, kind: str) -> int:
    """A double rounded once to a format."""
    if math.isnan(value):
        return FLOATS[kind][2]
    if value == 0 or math.isinf(value):
        return _pattern(value, kind)
    return nearest(Fraction(value), kind)


def number(value: float | int, kind: str | None) -> int:
    """A number written in the instruction, as a pattern of the operation's type."""
    if kind is None:
        kind = "fp32" if isinstance(value, float) else "int32"
    if kind in FLOATS:
        return from_float(float(value), kind)
    return int(value) & WORD


# ---- integers ------------------------------------------------------------------------------------


def _quotient(a: int, b: int) -> int:
    if b == 0:
        return -1
    size = abs(a) // abs(b)
    return size if (a < 0) == (b < 0) else -size


def _remainder(a: int, b: int) -> int:
    return a if b == 0 else a - b * _quotient(a, b)


INTEGER: dict[str, Callable[[int, int], int]] = {
    "tadd": lambda a, b: a + b,
    "tsub": lambda a, b: a - b,
    "tmul": lambda a, b: a * b,
    "tmulhi": lambda a, b: a * b >> 32,
    "tdiv": _quotient,
    "trem": _remainder,
    "tmin": min,
    "tmax": max,
    "tand": lambda a, b: a & b,
    "tor": lambda a, b: a | b,
    "txor": lambda a, b: a ^ b,
    "tshl": lambda a, b: 0 if b & WORD >= 32 else a << (b & WORD),
    "tshr": lambda a, b: a >> min(b & WORD, 32),
}

# ---- floats --------------------------------------------------------------------------------------


def _ieee(op: Callable[[Any, Any], Any]) -> Callable[[float, float], int]:
    def apply(a: float, b: float) -> int:
        with np.errstate(all="ignore"):
            return from_float(float(op(np.float32(a), np.float32(b))), "fp32")

    return apply


def _ordered(largest: bool) -> Callable[[float, float], int]:
    def apply(a: float, b: float) -> int:
        if math.isnan(a) or math.isnan(b):
            return NAN
        pick = max if largest else min
        return from_float(pick((a, b), key=lambda x: (x, math.copysign(1, x))), "fp32")

    return apply


FLOAT: dict[str, Callable[[float, float], int]] = {
    "tadd": _ieee(lambda a, b: a + b),
    "tsub": _ieee(lambda a, b: a - b),
    "tmul": _ieee(lambda a, b: a * b),
    "tdiv": _ieee(lambda a, b: a / b),
    "tmin": _ordered(largest=False),
    "tmax": _ordered(largest=True),
}


def binary(name: str, kind: str, a: int, b: int) -> int:
    """Two operands, one result."""
    if kind == "fp32":
        return FLOAT[name](as_float(a), as_float(b))
    return INTEGER[name](as_integer(a, kind), as_integer(b, kind)) & WORD


def unary(name: str, kind: str, a: int) -> int:
    """tneg and tabs."""
    if kind == "fp32":
        value = as_float(a)
        return from_float(-value if name == "tneg" else math.fabs(value), "fp32")
    whole = as_integer(a, kind)
    return (-whole if name == "tneg" else abs(whole)) & WORD


def fused(kind: str, a: int, b: int, c: int) -> int:
    """a * b + c, rounded once."""
    if kind != "fp32":
        return a * b + c & WORD
    x, y, z = as_float(a), as_float(b), as_float(c)
    if math.isfinite(x) and math.isfinite(y) and math.isfinite(z):
        exact = Fraction(x) * Fraction(y) + Fraction(z)
        if exact:
            return nearest(exact, "fp32")
    return from_float(x * y + z, "fp32")  # Inf, NaN, or a zero with its sign: exact in double


def compare(cond: str, kind: str, a: int, b: int) -> bool:
    x = as_float(a) if kind == "fp32" else as_integer(a, kind)
    y = as_float(b) if kind == "fp32" else as_integer(b, kind)
    return {"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y}[cond]


def convert(kind: str, to: str, a: int) -> int:
    """tcvt."""
    low = {"fp16": 0xFFFF, "bf16": 0xFFFF}.get(kind, WORD)
    value = as_float(a & low, kind) if kind in FLOATS else as_integer(a, kind)
    if to in FLOATS:
        return from_float(value, to) if kind in FLOATS or not value else nearest(
            Fraction(value), to)  # fmt: skip
    least, most = (-(1 << 31), (1 << 31) - 1) if to == "int32" else (0, WORD)
    if isinstance(value, float):
        if math.isnan(value):
            return 0
        if math.isinf(value):
            return (most if value > 0 else least) & WORD
    return min(max(int(value), least), most) & WORD
