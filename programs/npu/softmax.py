"""y = softmax of every row of x: maximum, exponentials and their sum, quotients."""

from __future__ import annotations

import math

import numpy as np

from programs.npu.pieces import PieceFunction
from programs.npu.rows import RowsFunction
from programs.npu.rowwise import RowwiseKernel
from programs.npu.simd import Function, Mask, Vector
from programs.rows import SoftmaxMaths

LOWEST = float(np.finfo(np.float32).min)


class SoftmaxKernel(SoftmaxMaths, RowwiseKernel):
    """The exponentials wait in y for their sum; rows of a tile share one fence.

    In pieces: maximum and sum of each, then exponentials again. A piece of -inf alone counts as
    one whose maximum is the lowest finite number: its exponentials are 0, not NaN.
    """

    statistics = 2  # maximum; sum of exp(x - maximum)

    def emit(self, rows: RowsFunction) -> None:
        f, tile = rows.f, rows.tile
        start = {n: f.reg(f[n]) for n in ("y", "scratch")}

        def exponentials(numbers: list[int]) -> None:
            tops = self.tops(rows, numbers)
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

    def tops(self, rows: RowsFunction, numbers: list[int]) -> list[Vector]:
        """Maxima of rows, in all lanes."""
        f = rows.f

        def larger(i: int, top: Vector, x: Vector, mask: Mask | None) -> None:
            kept = x if mask is None else f.select(mask, x, -math.inf)
            f.max(top, kept, into=top)

        def largest(top: Vector, other: Vector) -> None:
            f.max(top, other, into=top)

        tops = rows.fold(numbers, -math.inf, larger, largest)
        return [f.reduce_all("max", top) for top in tops]

    def part(self, piece: PieceFunction) -> list[Vector]:
        f = piece.f
        (top,) = self.tops(piece, piece.numbers)
        f.max(top, LOWEST, into=top)

        def power(i: int, total: Vector, x: Vector, mask: Mask | None) -> None:
            f.add(total, f.exp(f.sub(x, top, into=x), into=x, mask=mask), into=total)

        (total,) = piece.fold(piece.numbers, 0.0, power, piece.add_into)
        return [top, f.reduce("sum", total)]

    def join(self, f: Function, parts: list[Vector], mask: Mask) -> list[Vector]:
        tops, sums = parts
        top = f.reduce_all("max", tops, mask)
        f.mul(sums, f.exp(f.sub(tops, top)), into=sums)
        return [top, f.reduce("sum", sums, mask=mask)]

    def finish(self, piece: PieceFunction, whole: list[Vector]) -> None:
        f, (top, total) = piece.f, whole
        one = f.fill(1.0)
        share = f.div(one, total, into=one)

        def power(i: int, x: Vector, mask: Mask | None, way: int) -> Vector:
            return f.mul(f.exp(f.sub(x, top, into=x), into=x), share, into=x)

        piece.map(piece.numbers, power)


KERNEL = SoftmaxKernel()
