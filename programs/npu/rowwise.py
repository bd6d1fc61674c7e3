"""Kernels over rows whose results depend on the whole row.

Tiles of rows go round over all vector sub-cores. x and y have a ring each, so that while V works on
one tile MTE2 brings the next and MTE3 takes the last away; what bounds a run is HBM. A row that UB
cannot hold with its y is passed in pieces, see `programs.npu.pieces`.
"""

from __future__ import annotations

from abc import abstractmethod

from emulator.npu.chip import NpuChip
from isa.program import Program, Tensor
from programs.kernel import Params
from programs.npu.pieces import PiecesKernel
from programs.npu.rows import RowsFunction, row_tile, up
from programs.npu.simd import LANES
from programs.npu.tiles import Core, TileProgram


class RowwiseKernel(PiecesKernel):
    """x [rows, cols] -> y, row by row, in one SIMD function per tile."""

    @abstractmethod
    def emit(self, rows: RowsFunction) -> None:
        """The function's body. Its arguments: x, y, rows, scratch and one per `per_column`."""

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        rows, cols = int(params["rows"]), int(params["cols"])
        constant = len(self.per_column) * up(cols, LANES) * LANES * 4
        tile = row_tile(chip, self.checked(chip, dtype), "fp32", rows, cols, constant)
        if tile is None:
            return self.build_pieces(chip, dtype, rows, cols)
        program = TileProgram(chip)
        x = program.tensor("x", dtype, (rows, cols))
        columns = [program.tensor(name, "fp32", (cols,)) for name in self.per_column]
        y = program.tensor("y", "fp32", (rows, cols), "out")
        f = program.simd(self.name, "x", "y", "rows", "scratch", *self.per_column)
        self.emit(RowsFunction(f, tile, dtype))
        core = program.vector
        kept = self.constants(core, columns, cols)
        scratch = core.buffer("ub", 4 * tile.rows, "scratch")
        parts = {n: {n: ("ub", tile.rows * pitch)}
                 for n, pitch in (("x", tile.x_pitch), ("y", tile.y_pitch))}  # fmt: skip
        xs = core.ring("x", ("mte2", "v"), parts["x"], tile.depth)
        ys = core.ring("y", ("v", "mte3"), parts["y"], tile.depth)
        with core.tiles(rows, tile.rows, tile.blocks) as (first, count):
            with xs.stage("mte2") as slot, core.operands(pitch=tile.x_pitch) as more:
                core.load(slot["x"], x, first, pitch=cols, n=cols, rows=count,
                          dst_pitch=more["pitch"])  # fmt: skip
            with xs.stage("v") as source, ys.stage("v") as target:
                core.call(f, source["x"], target["y"], count, scratch, *kept)
            with ys.stage("mte3") as slot:
                core.store(y, first, slot["y"], pitch=cols, n=cols, rows=count,
                           src_pitch=tile.y_pitch)  # fmt: skip
            xs.advance()
            ys.advance()
        meta = {"kernel": self.name, "dtype": dtype, "shape": {"rows": rows, "cols": cols},
                "tile": f"{tile.rows}x{cols}"}  # fmt: skip
        return program.finish(tile.blocks, meta)

    def constants(self, core: Core, columns: list[Tensor], cols: int) -> list[int]:
        """Addresses in UB of the inputs [cols], loaded before the first tile."""
        kept = []
        for tensor in columns:
            kept.append(core.buffer("ub", up(cols, LANES) * LANES * 4, tensor.name))
            core.load(kept[-1], tensor, 0, n=cols)
        if columns:
            core.hand_over("mte2", "v", core.flags([("mte2", "v")], 1))
        return kept
