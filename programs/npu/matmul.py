"""c = a b on the NPU's cubes; how is in `programs.npu.product`, how it is cut in `tiling`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from emulator.npu.chip import NpuChip
from emulator.npu.globals import ALIGNMENT, at, tensor_bytes
from isa.program import Program, Tensor
from programs.encoding import accumulator, element_format, encode_operand, is_block_scaled
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Param, Params, normal
from programs.naive import naive_matmul
from programs.npu import tiling
from programs.npu.product import Places, Product

AUTO = "auto"


def sizes(text: str) -> tuple[int, ...] | None:
    """The numbers of ``256x256x64``; None where the builder chooses."""
    return None if text == AUTO else tuple(int(part) for part in text.split("x"))


@dataclass(frozen=True)
class Sizes(Param):
    """Several sizes in one parameter, ``256x256x64``."""

    count: int = 2

    def read(self, value: Any) -> Any:
        if value == AUTO:
            return AUTO
        parts = str(value).split("x")
        if len(parts) != self.count or not all(re.fullmatch(r"[1-9]\d*", str(p)) for p in parts):
            form = "x".join("MNK"[: self.count] if self.count == 3 else "RC")
            raise KernelError(f"{self.name} is {form}, such as {self.example}, not '{value}'")
        return "x".join(str(p) for p in parts)

    @property
    def example(self) -> str:
        return "256x256x64" if self.count == 3 else "4x8"


class MatmulKernel(Kernel):
    """``matmul``: c [m, n] = a [m, k] b [k, n]; c is the accumulator (fp32, int32)."""

    name = "matmul"
    machine = "npu"
    summary = "c = a b; m = 1 is the decode case"
    params = (
        Param("m", 512, "rows of a"),
        Param("n", 512, "columns of b"),
        Param("k", 512, "columns of a = rows of b"),
        Sizes("tile", None, "m x n x k of a tile in L0; default: the fastest estimate", count=3),
        Sizes("blocks", None, "rows x columns of blocks that the output is split into", count=2),
    )
    inputs_doc: ClassVar[Mapping[str, str]] = {"a": "[m, k]", "b": "[k, n]"}
    outputs_doc: ClassVar[Mapping[str, str]] = {"c": "[m, n] fp32, or int32 for int8"}

    def dtypes(self, chip: NpuChip) -> tuple[str, ...]:
        return tuple(d for d in chip.dtypes if not d.startswith("mx") or is_block_scaled(d))

    def default_dtype(self, chip: NpuChip) -> str:
        return "fp16"

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        a, b = arrays["a"], arrays["b"]
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
            raise KernelError(f"a is [m, k] and b [k, n], not {a.shape} and {b.shape}")
        return {"m": a.shape[0], "k": a.shape[1], "n": b.shape[1]}

    def complete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Without a tile or blocks the builder chooses them."""
        return {"tile": AUTO, "blocks": AUTO} | super().complete(params)

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        if dtype not in self.dtypes(chip):
            granted = ", ".join(self.dtypes(chip))
            raise KernelError(f"{chip.name} does not multiply {dtype}; it grants {granted}")
        m, n, k = (int(params[p]) for p in ("m", "n", "k"))
        tile, blocks = sizes(params["tile"]), sizes(params["blocks"])
        cut = tiling.default(chip, dtype, m, n, k, tile, blocks)
        element, groups = element_format(dtype), -(-k // tiling.BLOCK)
        shapes = [("a", element, (m, k), "in"), ("b", element, (k, n), "in"),
                  ("c", accumulator(dtype), (m, n), "out")]  # fmt: skip
        if is_block_scaled(dtype):
            shapes += [("a.scale", "e8m0", (m, groups), "in"),
                       ("b.scale", "e8m0", (groups, n), "in")]  # fmt: skip
        tensors, end = [], 0
        for name, kind, shape, role in shapes:
            tensors.append(Tensor(name, kind, shape, role, at(end)))
            end = -(-(end + tensor_bytes(tensors[-1])) // ALIGNMENT) * ALIGNMENT
        if end > chip.hbm.capacity:
            raise KernelError(
                f"the tensors need {end:,} bytes of {chip.name}'s {int(chip.hbm.capacity):,}"
            )
        section = Product(chip, dtype, cut, Places(*(t.layouts[0].base for t in tensors))).section()
        meta = {
            "kernel": self.name, "dtype": dtype, "shape": {"m": m, "n": n, "k": k},
            "blocks": cut.rows * cut.cols, "tile": f"{cut.tm}x{cut.tn}x{cut.tk}",
            "grid": f"{cut.rows}x{cut.cols}",
        }  # fmt: skip
        return Program("npu", chip.name, (section,), tuple(tensors), meta=meta)

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        m, n, k = (int(params[p]) for p in ("m", "n", "k"))
        return {"a": normal((m, k), seed, 0), "b": normal((k, n), seed, 1)}

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        tensors: dict[str, Any] = {}
        scales: dict[str, float] = {}
        for name, axis in (("a", 1), ("b", 0)):
            operand = encode_operand(name, arrays, dtype, axis)
            tensors[name] = operand.codes
            scales |= operand.scales
            if operand.block_scales is not None:
                tensors[f"{name}.scale"] = operand.block_scales
        return Encoded(tensors, scales)

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        return {"c": outputs["c"].view(np.int32 if dtype == "int8" else np.float32)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"c": arrays["a"].astype(np.float64) @ arrays["b"].astype(np.float64)}

    def naive(self, dtype: str, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"c": naive_matmul(arrays["a"], arrays["b"], dtype)}

    def macs(self, params: Params) -> int:
        return int(params["m"]) * int(params["n"]) * int(params["k"])

    def accuracy_scale(self, dtype: str, encoded: Encoded) -> dict[str, float]:
        return {"c": encoded.scales.get("a", 1.0) * encoded.scales.get("b", 1.0)}


KERNEL = MatmulKernel()
