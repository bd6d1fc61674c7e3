"""What quantize is on every machine: x [rows, cols] -> codes y, and the scales that go with them.

The codes and scales are those of `emulator.numerics`, to the bit: plain float formats saturate and
have scale 1; int8 and int4 share one scale per tensor (largest finite magnitude / 127 or / 7);
block formats have one e8m0 scale (FLOOR) per 32 elements of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from emulator.numerics import BLOCK_FORMATS, encode, quantize_blocks, quantize_int
from programs.draws import normal
from programs.encoding import encode_operand
from programs.kernel import Array, Arrays, Choice, Encoded, Kernel, KernelError, Param, Params

PLAIN = ("e4m3", "e5m2", "hif8", "e2m3", "e3m2", "e2m1")
INTEGERS = {"int8": 127, "int4": 7}  # largest code
BLOCKS = tuple(name for name, row in BLOCK_FORMATS.items() if row.scale == "e8m0")
TARGETS = (*PLAIN, *INTEGERS, *BLOCKS)


def element_of(to: str) -> str:
    """The format of one code."""
    return BLOCK_FORMATS[to].element if to in BLOCK_FORMATS else to


def quantized(x: Array, to: str) -> dict[str, Array]:
    """y (codes, one each), and scale where the format has one."""
    if to in BLOCKS:
        blocks = quantize_blocks(x, to, 1, "floor")
        return {"y": blocks.codes, "scale": blocks.scales}
    if to in INTEGERS:
        codes, scale = quantize_int(x, to)
        return {"y": codes, "scale": np.full(1, scale, np.float32)}
    return {"y": encode(x, to)}


class QuantizeMaths(Kernel):
    """``quantize``"""

    name = "quantize"
    summary = "y = codes of x in a narrow format, and their scales"
    params: ClassVar[tuple[Param, ...]] = (
        Param("rows", 256, "rows"),
        Param("cols", 384, "columns"),
        Choice("to", "mxfp8", "the narrow format", choices=TARGETS),
    )
    inputs_doc: ClassVar[Mapping[str, str]] = {"x": "[rows, cols]"}
    outputs_doc: ClassVar[Mapping[str, str]] = {
        "y": "[rows, cols] codes",
        "scale": "block formats: [rows, cols / 32] e8m0; int8, int4: [1] fp32; else none",
    }
    operand_axes: ClassVar[Mapping[str, int]] = {"x": 1}

    def default_dtype(self, chip: Any) -> str:
        return "fp32"

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        x = arrays["x"]
        if x.ndim != 2:
            raise KernelError(f"x is [rows, cols], not {x.shape}")
        return {"rows": x.shape[0], "cols": x.shape[1]}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        return {"x": normal((params["rows"], params["cols"]), seed, 0)}

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        return Encoded({"x": encode_operand("x", arrays, dtype, 1).codes})

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        """Codes as they are, int4's with their sign; a per-tensor scale as float32."""
        results = dict(outputs)
        if params["to"] == "int4":
            results["y"] = ((outputs["y"] ^ 8).astype(np.int8) - 8).astype(np.int8)
        if params["to"] in INTEGERS:
            results["scale"] = outputs["scale"].view(np.float32)
        return results

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        """Codes, not numbers: an error of 0 means equal to the bit (for operands in fp32)."""
        return quantized(np.asarray(arrays["x"], np.float32), params["to"])

    def macs(self, params: Params) -> int:
        return 0
