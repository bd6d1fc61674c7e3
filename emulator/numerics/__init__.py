"""Number formats, rounding, exact products and elementary functions.

    codes = encode(x, "e4m3")           codes.dtype is uint8
    y = decode(codes, "e4m3")           float32
    q = quantize_blocks(x, "mxfp4")     q.codes, q.scales, q.values()
    c = exact_dot(a, b)                 exact sums, one rounding

Read formats.py (the table), codes.py, blocks.py, then _core.pxd (the same for compiled code).
"""

from emulator.numerics._core import Fmt, Rounding, largest_exact_k
from emulator.numerics.blocks import (
    BLOCK_FORMATS,
    SCALE_MODES,
    BlockFormat,
    Blocks,
    dequantize_blocks,
    get_block_format,
    quantize_blocks,
    quantize_int,
    quantize_int8,
)
from emulator.numerics.codes import (
    ROUNDINGS,
    as_codes,
    as_ml_dtypes,
    decode,
    decode64,
    encode,
    format_of,
    round_to,
    to_numbers,
)
from emulator.numerics.elementary import erf, exp, exp2, ln, rsqrt, sqrt, tanh
from emulator.numerics.formats import FORMATS, Format, get_format
from emulator.numerics.products import add_exact_dot, exact_dot
from emulator.numerics.quantized import Quantized, quantize, scale_factors

__all__ = [
    "BLOCK_FORMATS",
    "FORMATS",
    "ROUNDINGS",
    "SCALE_MODES",
    "BlockFormat",
    "Blocks",
    "Fmt",
    "Format",
    "Quantized",
    "Rounding",
    "add_exact_dot",
    "as_codes",
    "as_ml_dtypes",
    "decode",
    "decode64",
    "dequantize_blocks",
    "encode",
    "erf",
    "exact_dot",
    "exp",
    "exp2",
    "format_of",
    "get_block_format",
    "get_format",
    "largest_exact_k",
    "ln",
    "quantize",
    "quantize_blocks",
    "quantize_int",
    "quantize_int8",
    "round_to",
    "rsqrt",
    "scale_factors",
    "sqrt",
    "tanh",
    "to_numbers",
]
