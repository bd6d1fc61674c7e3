"""Numbers of a tensor's data, as the bytes they become.

In the elements of ``data=`` and ``fill=`` a hexadecimal number is a code, the bit pattern itself,
whatever the type. Anything else is a value: an integer for int32, int8, uint8 and uint16; for
fp32, fp16 and bf16 a number with a point or an exponent (so that 1 is not mistaken for the code
0x1), rounded to nearest even. The other types take codes only.
"""

from __future__ import annotations

import math
import re
import struct
from fractions import Fraction
from typing import TYPE_CHECKING

from isa.asm.source import Piece, split
from isa.table import BYTES_OF

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler

_CODE = re.compile(r"0[xX][0-9a-fA-F_]+")
_INTEGERS = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "uint16": (0, 65535),
}
# exponent bits, mantissa bits
_FLOATS = {"fp32": (8, 23), "bf16": (8, 7), "fp16": (5, 10)}


def element(asm: Assembler, piece: Piece, dtype: str, *, integers: bool = False) -> bytes:
    """One element; `integers` lets a value of a float type be written without a point."""
    size = BYTES_OF[dtype]
    if _CODE.fullmatch(piece.text):
        code = asm.integer(piece, f"a code of {dtype}", 0, (1 << (8 * size)) - 1)
        return code.to_bytes(size, "little")
    if dtype in _INTEGERS:
        low, high = _INTEGERS[dtype]
        value = asm.integer(piece, f"an element of {dtype}", low, high)
        return value.to_bytes(size, "little", signed=low < 0)
    if dtype not in _FLOATS:
        raise piece.fault(f"elements of {dtype} are written as codes, such as 0x3c", "A080")
    number = asm.evaluate(piece)
    if isinstance(number, int) and not integers:
        text = piece.text
        message = f"'{text}' may be the number {number}.0 or the code {number:#x}; write it so"
        raise piece.fault(message, "A080")
    return float_code(float(number), dtype).to_bytes(size, "little")


def float_code(value: float, dtype: str) -> int:
    """The code of a number in fp32, fp16 or bf16, nearest even; what is too large is infinite.

    >>> hex(float_code(1.0, "bf16")), hex(float_code(65520.0, "fp16"))
    ('0x3f80', '0x7c00')
    """
    exponent_bits, mantissa_bits = _FLOATS[dtype]
    top = ((1 << exponent_bits) - 1) << mantissa_bits
    sign = int(math.copysign(1.0, value) < 0) << (exponent_bits + mantissa_bits)
    if math.isnan(value):
        return top | 1 << (mantissa_bits - 1)
    if math.isinf(value):
        return sign | top
    if value == 0:
        return sign
    bias = (1 << (exponent_bits - 1)) - 1
    exponent = max(math.frexp(abs(value))[1] - 1, 1 - bias)
    # In units of the last place; rounding up to a power of two carries into the exponent.
    units = round(Fraction(abs(value)) * Fraction(2) ** (mantissa_bits - exponent))
    code = ((exponent + bias - 1) << mantissa_bits) + units
    return sign | min(code, top)


def raw_bytes(asm: Assembler, piece: Piece, size: int) -> bytes:
    """Comma-separated integers of `size` bytes each, signed or not."""
    low, high = -(1 << (8 * size - 1)), (1 << (8 * size)) - 1
    try:  # the plain case, which long tables consist of
        numbers = [int(part, 0) for part in piece.text.split(",")]
        if min(numbers) >= 0 and max(numbers) <= high:
            return struct.pack(f"<{len(numbers)}{'BHI'[size // 2]}", *numbers)
    except ValueError:
        pass
    out = bytearray()
    for part in split(piece.text, piece.at):
        value = asm.integer(part, f"a number of {size} bytes", low, high)
        out += (value & high).to_bytes(size, "little")
    return bytes(out)
