"""y = x / sqrt(mean(x^2) + eps) * gamma, per row."""

from __future__ import annotations

from programs.npu.rows import RowsFunction, RowwiseKernel
from programs.npu.simd import Mask, Vector
from programs.rows import EPSILONS, RmsNormMaths


class RmsNormKernel(RmsNormMaths, RowwiseKernel):
    """Sums of squares in fused steps, then the scaled rows."""

    def emit(self, rows: RowsFunction) -> None:
        f, tile = rows.f, rows.tile
        one = f.fill(1.0)

        def group(numbers: list[int]) -> None:
            def square(i: int, total: Vector, x: Vector, mask: Mask | None) -> None:
                f.madd(total, f.keep(mask, x), x)

            totals = rows.fold(numbers, 0.0, square, rows.add_into)
            scales = []
            for total in totals:
                mean = f.div(f.reduce_all("sum", total), float(tile.cols))
                root = f.sqrt(f.add(mean, EPSILONS["rmsnorm"]))
                scales.append(f.div(one, root, into=root))
                f.free_vectors(total, mean)
            rows.scaled(numbers, lambda i, x: f.mul(x, scales[i]), "gamma")

        rows.rows(group, x=tile.x_pitch, y=tile.y_pitch)


KERNEL = RmsNormKernel()
