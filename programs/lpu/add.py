"""c = a + b, element by element."""

from __future__ import annotations

from programs.lpu.elementwise import RowsKernel, Stage
from programs.rows import AddMaths


class AddKernel(AddMaths, RowsKernel):
    """One burst per tile of rows; tiles in different slices run side by side."""

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


KERNEL = AddKernel()
