"""y = (x - mean) / sqrt(variance + eps) * gamma + beta, per row."""

from __future__ import annotations

from programs.lpu.elementwise import RowsKernel, Stage
from programs.rows import EPSILONS, LayerNormMaths


class LayerNormKernel(LayerNormMaths, RowsKernel):
    """Three bursts per tile of rows: sum; sum of squared differences; the scaled rows."""

    def place(self, stage: Stage) -> None:
        (x,) = stage.tensor("x", stage.dtype, "in", "w")
        (y,) = stage.tensor("y", "fp32", "out", "e", bank=1)
        gamma, beta = stage.per_column("gamma", "w"), stage.per_column("beta", "w")
        means, squares = stage.vectors("e", "means"), stage.vectors("e", "squares")
        n, share = stage.shape.rows, 1.0 / stage.cols
        for p in range(stage.shape.passes):
            f = stage.plan.fragment(f"mean, rows tile {p}")
            total = f.running("runsum.fp32", stage.load(f, x, p))
            f.write(f.vxm("mul.fp32", total, share), means, p)
            stage.plan.place(f)
            f = stage.plan.fragment(f"variance, rows tile {p}")
            off = f.vxm("sub.fp32", stage.load(f, x, p), f.read(means, p, n, step=0))
            f.write(f.running("runsum.fp32", f.vxm("mul.fp32", off, off)), squares, p)
            stage.plan.place(f)
            f = stage.plan.fragment(f"scaling, rows tile {p}")
            variance = f.vxm("mul.fp32", f.read(squares, p, n, step=0), share)
            inverse = f.vxm("rsqrt.fp32", f.vxm("add.fp32", variance, EPSILONS["layernorm"]))
            off = f.vxm("sub.fp32", stage.load(f, x, p), f.read(means, p, n, step=0))
            scaled = f.vxm("mul.fp32", f.vxm("mul.fp32", off, inverse), f.read(gamma, 0, n))
            y.store(f, f.vxm("add.fp32", scaled, f.read(beta, 0, n)), 0, p, 0, n)
            stage.plan.place(f)


KERNEL = LayerNormKernel()
