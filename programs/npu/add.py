"""c = a + b, element by element."""

from __future__ import annotations

from programs.npu.rows import ElementwiseKernel
from programs.npu.simd import Function, Vector
from programs.rows import AddMaths


class AddKernel(AddMaths, ElementwiseKernel):
    """Two loads, an add and a store per 64 elements: memory-bound everywhere."""

    def lanes(self, f: Function, *values: Vector) -> Vector:
        return f.add(values[0], values[1])


KERNEL = AddKernel()
