"""c = a b on the NPU's cubes; how is in `programs.npu.product`, how it is cut in `tiling`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from emulator.npu.chip import NpuChip
from emulator.npu.globals import ALIGNMENT, at, tensor_bytes
from isa.program import Program, Tensor
from programs.encoding import accumulator, element_format, is_block_scaled
from programs.kernel import KernelError, Param, Params
from programs.matmul import MatmulMaths
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


class MatmulKernel(MatmulMaths):
    """``matmul``: c [m, n] = a [m, k] b [k, n]; c is the accumulator (fp32, int32)."""

    machine = "npu"
    choices = ("tile", "blocks")
    params = (
        Param("m", 512, "rows of a"),
        Param("n", 512, "columns of b"),
        Param("k", 512, "columns of a = rows of b"),
        Sizes("tile", None, "m x n x k of a tile in L0; default: the fastest estimate", count=3),
        Sizes("blocks", None, "rows x columns of blocks that the output is split into", count=2),
    )

    def dtypes(self, chip: NpuChip) -> tuple[str, ...]:
        return tuple(d for d in chip.dtypes if not d.startswith("mx") or is_block_scaled(d))

    def default_dtype(self, chip: NpuChip) -> str:
        return "fp16"

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


KERNEL = MatmulKernel()
