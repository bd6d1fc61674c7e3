"""y = (x - mean) / sqrt(variance + eps) * gamma + beta, per row."""

from __future__ import annotations

from programs.npu.pieces import PieceFunction
from programs.npu.rows import RowsFunction
from programs.npu.rowwise import RowwiseKernel
from programs.npu.simd import Function, Mask, Vector
from programs.rows import EPSILONS, LayerNormMaths


class LayerNormKernel(LayerNormMaths, RowwiseKernel):
    """Mean, then squared differences from it, then the scaled rows: three reads from UB.

    In pieces: each has its own mean and squared differences from that, both from UB, and they join
    as Chan, Golub and LeVeque do ("Algorithms for computing the sample variance", 1983): the
    differences of the means, weighted by columns, add theirs. Nothing large is subtracted.
    """

    statistics = 3  # columns; their mean; sum of squared differences from it

    def emit(self, rows: RowsFunction) -> None:
        f, tile = rows.f, rows.tile
        one = f.fill(1.0)

        def group(numbers: list[int]) -> None:
            means = []
            for total in self.sums(rows, numbers):
                means.append(f.div(f.reduce_all("sum", total), float(tile.cols)))
                f.free_vectors(total)
            scales = []
            for total in self.squares(rows, numbers, means):
                variance, scale = rows.scale(
                    f.reduce_all("sum", total), EPSILONS["layernorm"], one
                )  # fmt: skip
                scales.append(scale)
                f.free_vectors(total, variance)
            rows.scaled(numbers, lambda i, x: f.mul(f.sub(x, means[i]), scales[i]), "gamma", "beta")

        rows.rows(group, x=tile.x_pitch, y=tile.y_pitch)

    def sums(self, rows: RowsFunction, numbers: list[int]) -> list[Vector]:
        """Sums of rows, lane by lane."""
        f = rows.f

        def plain(i: int, total: Vector, x: Vector, mask: Mask | None) -> None:
            f.add(total, f.keep(mask, x), into=total)

        return rows.fold(numbers, 0.0, plain, rows.add_into)

    def squares(
        self, rows: RowsFunction, numbers: list[int], means: list[Vector]
    ) -> list[Vector]:  # fmt: skip
        """Sums of squared differences from the means, lane by lane."""
        f = rows.f

        def square(i: int, total: Vector, x: Vector, mask: Mask | None) -> None:
            off = f.keep(mask, f.sub(x, means[i], into=x))
            f.madd(total, off, off)

        return rows.fold(numbers, 0.0, square, rows.add_into)

    def part(self, piece: PieceFunction) -> list[Vector]:
        f, count = piece.f, piece.columns()
        (total,) = self.sums(piece, piece.numbers)
        mean = f.div(f.reduce_all("sum", total), count)
        (total,) = self.squares(piece, piece.numbers, [mean])
        return [count, mean, f.reduce("sum", total)]

    def join(self, f: Function, parts: list[Vector], mask: Mask) -> list[Vector]:
        counts, means, squares = parts
        count = f.reduce_all("sum", counts, mask)
        first = f.fill(means)
        off = f.mul(f.sub(means, first), counts)
        mean = f.add(f.div(f.reduce_all("sum", off, mask), count), first)
        f.sub(means, mean, into=off)
        f.madd(squares, f.mul(off, off), counts)
        return [count, mean, f.reduce("sum", squares, mask=mask)]

    def finish(self, piece: PieceFunction, whole: list[Vector]) -> None:
        f, (_, mean, total) = piece.f, whole
        _, scale = piece.scale(total, EPSILONS["layernorm"], f.fill(1.0))
        piece.scaled(piece.numbers, lambda i, x: f.mul(f.sub(x, mean), scale), "gamma", "beta")


KERNEL = LayerNormKernel()
