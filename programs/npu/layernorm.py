"""y = (x - mean) / sqrt(variance + eps) * gamma + beta, per row."""

from __future__ import annotations

from programs.npu.rows import RowsFunction, RowwiseKernel
from programs.npu.simd import Mask, Vector
from programs.rows import EPSILONS, LayerNormMaths


class LayerNormKernel(LayerNormMaths, RowwiseKernel):
    """Mean, then squared differences from it, then the scaled rows: three reads from UB."""

    def emit(self, rows: RowsFunction) -> None:
        f, tile = rows.f, rows.tile
        one = f.fill(1.0)

        def group(numbers: list[int]) -> None:
            def plain(i: int, total: Vector, x: Vector, mask: Mask | None) -> None:
                f.add(total, f.keep(mask, x), into=total)

            means = []
            for total in rows.fold(numbers, 0.0, plain, rows.add_into):
                means.append(f.div(f.reduce_all("sum", total), float(tile.cols)))
                f.free_vectors(total)

            def square(i: int, total: Vector, x: Vector, mask: Mask | None) -> None:
                off = f.keep(mask, f.sub(x, means[i], into=x))
                f.madd(total, off, off)

            scales = []
            for total in rows.fold(numbers, 0.0, square, rows.add_into):
                variance = f.div(f.reduce_all("sum", total), float(tile.cols))
                root = f.sqrt(f.add(variance, EPSILONS["layernorm"]))
                scales.append(f.div(one, root, into=root))
                f.free_vectors(total, variance)
            rows.scaled(numbers, lambda i, x: f.mul(f.sub(x, means[i]), scales[i]), "gamma", "beta")

        rows.rows(group, x=tile.x_pitch, y=tile.y_pitch)


KERNEL = LayerNormKernel()
