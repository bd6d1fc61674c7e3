"""y = x Phi(x) with the error function, from exp2 and rsqrt alone.

erfc(z) = (a1 t + a2 t^2 + ... + a5 t^5) exp(-z^2) with t = 1 / (1 + 0.3275911 z) for z >= 0 and an
absolute error of at most 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions,
7.1.26);
and gelu(x) = max(x, 0) - |x| / 2 erfc(|x| / sqrt 2).
"""

from __future__ import annotations

import math

from programs.lpu.elementwise import RowsKernel, Stage
from programs.rows import GeluMaths

LOG2E = 1.4426950408889634
P = 0.3275911
A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


class GeluKernel(GeluMaths, RowsKernel):
    """Two bursts per tile of rows: t (five copies), exp(-z^2); then Horner, a copy of t a step."""

    transposed = False

    def place(self, stage: Stage) -> None:
        (x,) = stage.tensor("x", stage.dtype, "in", "w")
        east = stage.tensor("t", "fp32", "", "e", bank=1, copies=3)
        west = stage.tensor("t", "fp32", "", "w", bank=1, copies=2)
        (e,) = stage.tensor("e", "fp32", "", "e", bank=1)
        (half,), (above,) = (stage.tensor(n, "fp32", "", "w", bank=1) for n in ("half", "above"))
        (y,) = stage.tensor("y", "fp32", "out", "e", bank=0)
        for first, n, p in stage.bursts():
            f = stage.plan.fragment(f"t of rows {first}.. columns tile {p}")
            value = stage.load(f, x, p, first, n)
            z = f.vxm("mul.fp32", value, math.sqrt(0.5))
            steep = f.vxm("add.fp32", f.vxm("mul.fp32", f.vxm("abs.fp32", z), P), 1.0)
            root = f.vxm("rsqrt.fp32", steep)
            t = f.vxm("mul.fp32", root, root)
            # A result leaves the VXM in one direction; a second ALU sends it the other way.
            for copies, sent in ((east, t), (west, f.vxm("mov.fp32", t))):
                for copy in copies:
                    copy.store(f, sent, 0, p, first, n)
            power = f.vxm("mul.fp32", f.vxm("mul.fp32", z, z), -LOG2E)
            e.store(f, f.vxm("exp2.fp32", power), 0, p, first, n)
            half.store(f, f.vxm("mul.fp32", f.vxm("abs.fp32", value), 0.5), 0, p, first, n)
            above.store(f, f.vxm("relu.fp32", value), 0, p, first, n)
            stage.plan.place(f)
            f = stage.plan.fragment(f"rows {first}.. columns tile {p}")
            ts = [copy.value(f, 0, p, first, n) for copy in (*east, *west)]
            sum_ = f.vxm("mul.fp32", ts[0], A[4])
            for i in (3, 2, 1, 0):
                sum_ = f.vxm("mul.fp32", f.vxm("add.fp32", sum_, A[i]), ts[4 - i])
            erfc = f.vxm("mul.fp32", sum_, e.value(f, 0, p, first, n))
            below = f.vxm("mul.fp32", erfc, half.value(f, 0, p, first, n))
            gelu = f.vxm("sub.fp32", above.value(f, 0, p, first, n), below)
            y.store(f, gelu, 0, p, first, n)
            stage.plan.place(f)


KERNEL = GeluKernel()
