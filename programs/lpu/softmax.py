"""y = softmax of every row of x: running maximum, running sum, and no division."""

from __future__ import annotations

from programs.lpu.elementwise import RowsKernel, Stage
from programs.rows import SoftmaxMaths

LOG2E = 1.4426950408889634


class SoftmaxKernel(SoftmaxMaths, RowsKernel):
    """Three bursts per tile of rows: maximum; e = 2^((x - max) log2 e) and its sum; e / sum."""

    def place(self, stage: Stage) -> None:
        (x,) = stage.tensor("x", stage.dtype, "in", "w")
        (e,) = stage.tensor("e", "fp32", "", "w", bank=1)
        (y,) = stage.tensor("y", "fp32", "out", "e", bank=1)
        top, total = stage.vectors("e", "row maxima"), stage.vectors("e", "row sums")
        n = stage.shape.rows
        for p in range(stage.shape.passes):
            f = stage.plan.fragment(f"maximum, rows tile {p}")
            f.write(f.running("runmax.fp32", stage.load(f, x, p)), top, p)
            stage.plan.place(f)
            f = stage.plan.fragment(f"exponentials, rows tile {p}")
            below = f.vxm("sub.fp32", stage.load(f, x, p), f.read(top, p, n, step=0))
            power = f.vxm("exp2.fp32", f.vxm("mul.fp32", below, LOG2E))
            e.store(f, power, 0, p, 0, n)
            f.write(f.running("runsum.fp32", power), total, p)
            stage.plan.place(f)
            f = stage.plan.fragment(f"division, rows tile {p}")
            root = f.vxm("rsqrt.fp32", f.read(total, p, n, step=0))
            inverse = f.vxm("mul.fp32", root, root)
            y.store(f, f.vxm("mul.fp32", e.value(f, 0, p, 0, n), inverse), 0, p, 0, n)
            stage.plan.place(f)


KERNEL = SoftmaxKernel()
