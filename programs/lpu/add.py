"""c = a + b, element by element."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from programs.kernel import Array, Arrays, Params
from programs.lpu.elementwise import RowsKernel, Stage


class AddKernel(RowsKernel):
    """One burst per tile of rows; tiles in different slices run side by side."""

    name = "add"
    summary = "c = a + b"
    inputs_doc: ClassVar[dict[str, str]] = {"a": "[rows, cols]", "b": "[rows, cols]"}
    outputs_doc: ClassVar[dict[str, str]] = {"c": "[rows, cols] fp32"}
    operands = ("a", "b")
    output = "c"
    transposed = False

    def place(self, stage: Stage) -> None:
        (a,) = stage.tensor("a", stage.dtype, "in", "w")
        (b,) = stage.tensor("b", stage.dtype, "in", "e")
        (c,) = stage.tensor("c", "fp32", "out", "e", bank=1)
        for first, n, p in stage.bursts():
            f = stage.plan.fragment(f"rows {first}.. columns tile {p}")
            total = f.vxm("add.fp32", stage.load(f, a, p, first, n), stage.load(f, b, p, first, n))
            c.store(f, total, 0, p, first, n)
            stage.plan.place(f)

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"c": np.asarray(arrays["a"], np.float64) + np.asarray(arrays["b"], np.float64)}


KERNEL = AddKernel()
