"""y = x Phi(x) with the error function, from an exponential, a quotient and a polynomial.

gelu(x) = max(x, 0) - |x| / 2 erfc(|x| / sqrt 2), erfc(z) = Q(t) exp(-z^2), t = 1 / (1 + 0.35 z),
and Q of degree 9: a minimax fit of the relative error over 0 <= z <= 9.3 (beyond, erfc is below the
smallest float32), at most 4.2e-8 with coefficients in fp32. Evaluated in fp32, y is within
1.2e-7 max(1, |x|) of the exact value.
"""

from __future__ import annotations

from programs.npu.rows import ElementwiseKernel
from programs.npu.simd import Function, Vector
from programs.rows import GeluMaths

P = 0.2474873661994934  # 0.35 / sqrt 2, so that z need not be made
FAR = 64.0  # where erfc is 0 in any format, and its square is still finite
Q = (
    -5.962606883258559e-05, 0.1987788826227188, 0.1848497837781906, 0.2549682855606079,
    -0.08200579136610031, 0.6861017942428589, -0.757346510887146, 0.8531991243362427,
    -0.4061276912689209, 0.06764176487922668,
)  # fmt: skip


class GeluKernel(GeluMaths, ElementwiseKernel):
    """22 instructions per 64 elements, two of them special, in one long chain: six at once."""

    together = 6

    def lanes(self, f: Function, *values: Vector) -> Vector:
        (x,) = values  # results go where operands were: several of these run at once
        size = f.abs(x)
        f.min(size, FAR, into=size)
        t = f.mul(size, P)
        f.add(t, 1.0, into=t)
        one = f.fill(1.0)
        f.div(one, t, into=t)
        gauss = f.mul(size, size, into=one)
        f.mul(gauss, -0.5, into=gauss)
        f.exp(gauss, into=gauss)
        erfc = f.horner(t, Q)
        f.mul(erfc, gauss, into=erfc)
        f.mul(size, 0.5, into=size)
        f.mul(erfc, size, into=erfc)
        f.each("vrelu", x, into=x)
        return f.sub(x, erfc, into=x)


KERNEL = GeluKernel()
