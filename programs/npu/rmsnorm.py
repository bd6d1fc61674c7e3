"""y = x / sqrt(mean(x^2) + eps) * gamma, per row."""

from __future__ import annotations

from programs.npu.pieces import PieceFunction
from programs.npu.rows import RowsFunction
from programs.npu.rowwise import RowwiseKernel
from programs.npu.simd import Function, Mask, Vector
from programs.rows import EPSILONS, RmsNormMaths


class RmsNormKernel(RmsNormMaths, RowwiseKernel):
    """Sums of squares in fused steps, then the scaled rows."""

    statistics = 1  # sum of squares

    def emit(self, rows: RowsFunction) -> None:
        f, tile = rows.f, rows.tile
        one = f.fill(1.0)

        def group(numbers: list[int]) -> None:
            scales = []
            for total in self.squares(rows, numbers):
                mean, scale = rows.scale(f.reduce_all("sum", total), EPSILONS["rmsnorm"], one)
                scales.append(scale)
                f.free_vectors(total, mean)
            rows.scaled(numbers, lambda i, x: f.mul(x, scales[i]), "gamma")

        rows.rows(group, x=tile.x_pitch, y=tile.y_pitch)

    def squares(self, rows: RowsFunction, numbers: list[int]) -> list[Vector]:
        """Sums of squares, lane by lane."""
        f = rows.f

        def square(i: int, total: Vector, x: Vector, mask: Mask | None) -> None:
            f.madd(total, f.keep(mask, x), x)

        return rows.fold(numbers, 0.0, square, rows.add_into)

    def part(self, piece: PieceFunction) -> list[Vector]:
        (total,) = self.squares(piece, piece.numbers)
        return [piece.f.reduce("sum", total)]

    def join(self, f: Function, parts: list[Vector], mask: Mask) -> list[Vector]:
        return [f.reduce("sum", parts[0], mask=mask)]

    def finish(self, piece: PieceFunction, whole: list[Vector]) -> None:
        f = piece.f
        _, scale = piece.scale(whole[0], EPSILONS["rmsnorm"], f.fill(1.0))
        piece.scaled(piece.numbers, lambda i, x: f.mul(x, scale), "gamma")


KERNEL = RmsNormKernel()
