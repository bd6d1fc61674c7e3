"""y = softmax of every row of x: maximum, exponentials and their sum, quotients."""

from __future__ import annotations

import math

from programs.npu.rows import RowsFunction, RowwiseKernel
from programs.npu.simd import Mask, Vector
from programs.rows import SoftmaxMaths


class SoftmaxKernel(SoftmaxMaths, RowwiseKernel):
    """The exponentials wait in y for their sum; rows of a tile share one fence."""

    def emit(self, rows: RowsFunction) -> None:
        f, tile = rows.f, rows.tile
        start = {n: f.reg(f[n]) for n in ("y", "scratch")}

        def exponentials(numbers: list[int]) -> None:
            def larger(i: int, top: Vector, x: Vector, mask: Mask | None) -> None:
                kept = x if mask is None else f.select(mask, x, -math.inf)
                f.max(top, kept, into=top)

            def largest(top: Vector, other: Vector) -> None:
                f.max(top, other, into=top)

            tops = rows.fold(numbers, -math.inf, larger, largest)
            tops = [f.reduce_all("max", top) for top in tops]
            sums = rows.totals(numbers, 0.0)

            def power(i: int, x: Vector, mask: Mask | None, way: int) -> Vector:
                e = f.exp(f.sub(x, tops[i]), mask=mask)
                f.add(sums[i][way], e, into=sums[i][way])
                return e

            rows.map(numbers, power)
            for i, total in enumerate(rows.joined(sums, rows.add_into)):
                f.store_one(f.reduce("sum", total), f["scratch"], offset=4 * i)

        rows.rows(exponentials, x=tile.x_pitch, y=tile.y_pitch, scratch=4)
        f.fence()
        for name, register in start.items():
            f.mov(f[name], register)

        def quotients(numbers: list[int]) -> None:
            sums = [f.load_one(f["scratch"], offset=4 * i) for i in numbers]
            # A cursor moves when its instruction issues: loads must not wait for stores.
            at, to = (rows.cursors("y", tile.y_pitch, numbers) for _ in range(2))

            def visit(mask: Mask | None, way: int) -> None:
                for i in numbers:
                    with f.scope():
                        y = f.div(f.load(at[i], step=True), sums[i])
                        f.store(y, to[i], step=True, mask=mask)

            rows.chunks(visit)
            f.free(*at, *to)

        rows.rows(quotients, y=tile.y_pitch, scratch=4)


KERNEL = SoftmaxKernel()
