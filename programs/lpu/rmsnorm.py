"""y = x / sqrt(mean(x^2) + eps) * gamma, per row."""

from __future__ import annotations

from programs.lpu.elementwise import RowsKernel, Stage
from programs.rows import EPSILONS, RmsNormMaths


class RmsNormKernel(RmsNormMaths, RowsKernel):
    """Two bursts per tile of rows: the running sum of squares; then x * rsqrt(...) * gamma."""

    def place(self, stage: Stage) -> None:
        (x,) = stage.tensor("x", stage.dtype, "in", "w")
        (y,) = stage.tensor("y", "fp32", "out", "e", bank=1)
        gamma = stage.per_column("gamma", "w")
        squares = stage.vectors("e", "sums of squares")
        n = stage.shape.rows
        for p in range(stage.shape.passes):
            f = stage.plan.fragment(f"squares, rows tile {p}")
            value = stage.load(f, x, p)
            f.write(f.running("runsum.fp32", f.vxm("mul.fp32", value, value)), squares, p)
            stage.plan.place(f)
            f = stage.plan.fragment(f"scaling, rows tile {p}")
            mean = f.vxm("mul.fp32", f.read(squares, p, n, step=0), 1.0 / stage.cols)
            inverse = f.vxm("rsqrt.fp32", f.vxm("add.fp32", mean, EPSILONS["rmsnorm"]))
            scaled = f.vxm("mul.fp32", stage.load(f, x, p), inverse)
            y.store(f, f.vxm("mul.fp32", scaled, f.read(gamma, 0, n)), 0, p, 0, n)
            stage.plan.place(f)


KERNEL = RmsNormKernel()
