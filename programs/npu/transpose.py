"""y = the transpose of x: element by element, or in tiles through UB."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from programs.draws import normal
from programs.kernel import Array, Arrays, Choice, KernelError, Param, Params
from programs.npu.simt import Operand, Predicate, Threads, Value
from programs.npu.simt_kernel import (
    OPERAND,
    WARP,
    SimtKernel,
    block_count,
    block_threads,
    threads_param,
    up,
)
from programs.npu.tiles import TileProgram

TILE = 32  # a warp's lanes
PITCH = TILE + 1  # words: a column of the tile then lies in as many banks as a row


class TransposeKernel(SimtKernel):
    """Blocks take tiles of 32 x 32 in turn; a warp takes every so many rows of a tile.

    ``through=gm`` reads a row and writes a column: 32 sectors for 128 bytes. ``through=ub`` puts
    the tile into UB as it comes and takes it out by columns, so that both ways whole sectors move.
    """

    name = "transpose"
    summary = "y [cols, rows] = x [rows, cols] transposed"
    params: ClassVar[tuple[Param, ...]] = (
        Param("rows", 1024, "rows of x"),
        Param("cols", 1024, "columns of x"),
        Choice("through", "ub", "how elements move", choices=("ub", "gm")),
        threads_param(most=1024),
    )
    inputs_doc: ClassVar[dict[str, str]] = {"x": "[rows, cols]"}
    outputs_doc: ClassVar[dict[str, str]] = {"y": "[cols, rows] fp32"}
    types: ClassVar[dict[str, str]] = {"x": OPERAND}

    def emit(self, program: TileProgram, dtype: str, params: Params) -> int:
        rows, cols = int(params["rows"]), int(params["cols"])
        threads, through_ub = block_threads(program.chip, params), params["through"] == "ub"
        x = program.tensor("x", "fp32", (rows, cols))
        y = program.tensor("y", "fp32", (cols, rows), "out")
        across = up(cols, TILE)
        tiles = up(rows, TILE) * across
        blocks = block_count(program.chip, tiles, 1)
        f = program.simt("transpose", "x", "y", threads=threads)
        lane, warp, tile = f.special("lane"), f.special("warp"), f.special("block")
        with f.each_from(tile, tiles, blocks):
            top = f.shl(f.op("tdiv", tile, across), 5)
            left = f.shl(f.op("trem", tile, across), 5)
            if through_ub:
                self._through_ub(f, top, left, lane, warp, rows, cols)
            else:
                self._directly(f, top, left, lane, warp, rows, cols)
        program.vector.call(f, x.layouts[0].base, y.layouts[0].base)
        return blocks

    def _directly(self, f: Threads, top: Value, left: Value, lane: Value, warp: Value, rows: int,
                  cols: int) -> None:  # fmt: skip
        column = f.add(left, lane)
        for first in range(0, TILE, f.threads // WARP):
            with f.scope():
                line = f.add(warp, first)
                row = f.add(top, line)
                with f.when(self._inside(f, line, row, rows, column, cols)):
                    value = f.load(f["x"], self._at(f, row, cols, column))
                    f.store(value, f["y"], self._at(f, column, rows, row))

    def _through_ub(self, f: Threads, top: Value, left: Value, lane: Value, warp: Value, rows: int,
                    cols: int) -> None:  # fmt: skip
        for first in range(0, TILE, f.threads // WARP):
            with f.scope():
                line = f.add(warp, first)
                row, column = f.add(top, line), f.add(left, lane)
                with f.when(self._inside(f, line, row, rows, column, cols)):
                    value = f.load(f["x"], self._at(f, row, cols, column))
                    f.store(value, f.ub, self._at(f, line, PITCH, lane), space="ub")
        f.barrier()
        for first in range(0, TILE, f.threads // WARP):
            with f.scope():
                line = f.add(warp, first)
                row, column = f.add(top, lane), f.add(left, line)
                with f.when(self._inside(f, line, column, cols, row, rows)):
                    value = f.load(f.ub, self._at(f, lane, PITCH, line), space="ub")
                    f.store(value, f["y"], self._at(f, column, rows, row))
        f.barrier()  # the next tile overwrites this one

    def _inside(self, f: Threads, line: Value, a: Value, a_stop: int, b: Value,
                b_stop: int) -> Predicate:  # fmt: skip
        """a and b are inside the matrix, and the line is one of the tile's."""
        tests = [(a, a_stop), (b, b_stop)]
        if TILE % (f.threads // WARP):
            tests.append((line, TILE))
        first, *others = (f.compare("lt", value, stop) for value, stop in tests)
        for q in others:
            f("qand", dst=first, a=first, b=q)
        f.free(*others)
        return first

    def _at(self, f: Threads, row: Value, pitch: Operand, column: Value) -> Value:
        """The byte of an element."""
        at = f.fma(row, pitch, column)
        return f.shl(at, 2, into=at)

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        x = arrays["x"]
        if x.ndim != 2:
            raise KernelError(f"x is [rows, cols], not {x.shape}")
        return {"rows": x.shape[0], "cols": x.shape[1]}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        return {"x": normal((int(params["rows"]), int(params["cols"])), seed, 0)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"y": arrays["x"].T.astype(np.float64)}


KERNEL = TransposeKernel()
