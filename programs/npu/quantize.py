"""x -> codes and scales on the vector sub-cores, in passes over tiles of rows.

Block formats take three passes over a tile in UB: the largest magnitude of every block; from those,
64 at a time, exponents and the powers of two to multiply with; the products as codes. Integers need
the largest magnitude of the whole tensor first, so their sub-cores read x twice and meet between.
Rows that UB cannot hold go round in pieces, since nothing wider than a block belongs together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from emulator.npu.chip import NpuChip
from isa.npu import Reg
from isa.program import Program
from programs.kernel import KernelError, Params
from programs.npu.buffers import Slot
from programs.npu.emit import Value
from programs.npu.quantize_simd import BLOCK, FACTOR_LANES, PAIRS, Codes, Functions
from programs.npu.rows import SPARE, TILE, RowTile, row_need, row_tile, up
from programs.npu.simd import REGISTER
from programs.npu.tiles import TileProgram
from programs.quantize import BLOCKS, INTEGERS, TARGETS, QuantizeMaths

LINE = 512  # columns: pieces are whole lines of L2
CONSTANTS = 8192  # bytes of UB for maxima and such


class QuantizeKernel(QuantizeMaths):
    """Builds the program for one format."""

    machine = "npu"

    def dtypes(self, chip: NpuChip) -> tuple[str, ...]:
        return "fp32", "fp16", "bf16"

    def targets(self, chip: NpuChip) -> tuple[str, ...]:
        """Formats that the chip's casts know: a chip without 8-bit floats has integers only."""
        return TARGETS if "e4m3" in chip.dtypes else tuple(INTEGERS)

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        rows, cols, to = int(params["rows"]), int(params["cols"]), str(params["to"])
        if to not in self.targets(chip):
            granted = ", ".join(self.targets(chip))
            raise KernelError(f"{chip.name} does not convert to {to}; it converts to {granted}")
        if dtype not in self.dtypes(chip):
            granted = ", ".join(self.dtypes(chip))
            raise KernelError(f"quantize takes {granted}, not {dtype}")
        return _Builder(chip, dtype, rows, cols, Codes(to)).program()


@dataclass(frozen=True)
class Turn:
    """What a sub-core does at once: a tile of whole rows, or columns of one row."""

    row: Reg  # the first
    count: Reg  # rows
    n: Value  # columns
    column: Reg | None = None  # the first of a piece


class _Builder:
    """One program: tensors, buffers, functions, and the loop over tiles."""

    def __init__(self, chip: NpuChip, dtype: str, rows: int, cols: int, codes: Codes) -> None:
        self.dtype, self.rows, self.cols, self.codes = dtype, rows, cols, codes
        self.made = TileProgram(chip)
        self.core = self.made.vector
        blocked, integers = codes.to in BLOCKS, codes.to in INTEGERS
        self.width, self.tile = self.fitting()
        self.pieces = up(cols, self.width)
        self.groups = self.groups_of(self.width)
        self.functions = Functions(self.made, self.tile, dtype, codes, self.groups)
        self.x = self.made.tensor("x", dtype, (rows, cols))
        self.y = self.made.tensor("y", codes.element, (rows, cols), "out")
        size, depth = self.tile.rows, self.tile.depth
        self.xs = self.core.ring("x", ("mte2", "v"), {"x": ("ub", size * self.tile.x_pitch)}, depth)
        parts = {"y": ("ub", size * self.tile.y_pitch)}
        if blocked:
            self.scale = self.made.tensor("scale", "e8m0", (rows, up(cols, BLOCK)), "out")
            parts["scale"] = ("ub", size * self.groups)
        elif integers:
            self.scale = self.made.tensor("scale", "fp32", (1,), "out")
        self.ys = self.core.ring("y", ("v", "mte3"), parts, depth)

    def groups_of(self, cols: int) -> int:
        """Blocks of a row in UB."""
        return up(cols, PAIRS) * FACTOR_LANES if self.codes.to in BLOCKS else 0

    def fitting(self) -> tuple[int, RowTile]:
        """Columns that a tile has, all or those of a piece, and the tile."""
        chip, cols = self.made.chip, self.cols

        def tile(rows: int, cols: int) -> RowTile | None:
            return row_tile(chip, self.dtype, self.codes.element, rows, cols, CONSTANTS,
                            chunk=PAIRS, more=6 * self.groups_of(cols))  # fmt: skip

        if whole := tile(self.rows, cols):
            return cols, whole
        share = up(up(self.rows * cols, chip.vectors), LINE) * LINE
        most = min(TILE // 4, share)
        while most >= PAIRS:
            width = up(up(cols, up(cols, most)), PAIRS) * PAIRS
            fits = tile(1, width)
            if fits and fits.depth == 2:
                blocks = min(chip.vectors, self.rows * up(cols, width))
                return width, replace(fits, blocks=blocks)
            most //= 2
        need = row_need(self.dtype, self.codes.element, PAIRS, PAIRS, 6 * self.groups_of(PAIRS))
        raise KernelError(
            f"{chip.name}: {PAIRS} columns of a row need {2 * need + CONSTANTS + SPARE:,} bytes of"
            f" UB, it has {int(chip.vector.ub):,}"
        )

    def program(self) -> Program:
        core, tile = self.core, self.tile
        if self.codes.to in BLOCKS:
            function = self.functions.blocks()
            # A load of a pair's factors takes a whole register.
            factors = core.buffer("ub", 4 * tile.rows * self.groups + REGISTER, "factors")
        elif self.codes.to in INTEGERS:
            scale = self.tensor_scale()
            function = self.functions.integers()
        else:
            function = self.functions.plain()
        with self.turns() as turn:
            self.load(turn)
            with self.xs.stage("v") as source, self.ys.stage("v") as target:
                arguments = [source["x"], target["y"], turn.count]
                if self.codes.to in BLOCKS:
                    core.call(function, *arguments, factors, target["scale"])
                elif self.codes.to in INTEGERS:
                    core.call(function, *arguments, scale)
                else:
                    core.call(function, *arguments)
            with self.ys.stage("mte3") as slot:
                self.store(turn, slot)
            self.xs.advance()
            self.ys.advance()
        meta = {
            "kernel": "quantize", "dtype": self.dtype,
            "shape": {"rows": self.rows, "cols": self.cols, "to": self.codes.to},
            "tile": f"{tile.rows}x{self.width}",
        }  # fmt: skip
        return self.made.finish(tile.blocks, meta)

    @contextmanager
    def turns(self) -> Iterator[Turn]:
        """All tiles, or all pieces of all rows, shared out over the sub-cores."""
        core, tile, cols = self.core, self.tile, self.cols
        if self.pieces == 1:
            with core.tiles(self.rows, tile.rows, tile.blocks) as (first, count):
                yield Turn(first, count, cols)
            return
        with core.tiles(self.rows * self.pieces, 1, tile.blocks) as (first, count):
            row, column, n = core.reg(), core.reg(), core.reg(cols)
            core.op("div", row, first, self.pieces)
            core.op("rem", column, first, self.pieces)
            core.scaled(column, column, self.width)
            core.op("sub", n, n, column)
            core.op("min", n, n, self.width)
            yield Turn(row, count, n, column)
            core.free(row, column, n)

    @contextmanager
    def place(self, turn: Turn, pitch: int, per: int = 1) -> Iterator[tuple[Reg, int]]:
        """(first, pitch) in a tensor that has an element for `per` of x, `pitch` in a row."""
        core = self.core
        if turn.column is None:
            yield turn.row, pitch
            return
        with core.temporary() as at, core.temporary() as row:
            core.op("shr", at, turn.column, per.bit_length() - 1)
            core.op("add", at, at, core.scaled(row, turn.row, pitch))
            yield at, 1

    def load(self, turn: Turn) -> None:
        """x into the ring; zeros fill up the last piece of a row."""
        filled: dict[str, Any] = {} if turn.column is None else {"cols": self.width}
        with self.xs.stage("mte2") as slot, self.place(turn, self.cols) as (first, pitch):
            self.core.load(slot["x"], self.x, first, pitch=pitch, n=turn.n, rows=turn.count,
                           dst_pitch=self.tile.x_pitch, **filled)  # fmt: skip

    def store(self, turn: Turn, slot: Slot) -> None:
        """Codes and the scales of blocks."""
        core, tile = self.core, self.tile
        whole = up(self.cols, 2) * 2 if self.codes.bits == 4 else self.cols
        with self.place(turn, whole) as (first, pitch):
            core.store(self.y, first, slot["y"], pitch=pitch, n=turn.n, rows=turn.count,
                       src_pitch=tile.y_pitch)  # fmt: skip
        if self.codes.to not in BLOCKS:
            return
        groups = up(self.cols, BLOCK)
        with self.place(turn, groups, BLOCK) as (first, pitch), self.blocks_in(turn.n) as n:
            core.store(self.scale, first, slot["scale"], pitch=pitch, n=n, rows=turn.count,
                       src_pitch=self.groups)  # fmt: skip

    @contextmanager
    def blocks_in(self, n: Value) -> Iterator[Value]:
        """Blocks of n columns."""
        if isinstance(n, int):
            yield up(n, BLOCK)
            return
        with self.core.temporary() as count:
            self.core.op("add", count, n, BLOCK - 1)
            yield self.core.op("shr", count, count, BLOCK.bit_length() - 1)

    # ---- one scale for the tensor ----------------------------------------------------------------

    def tensor_scale(self) -> int:
        """Address in UB of the scale: every sub-core its maximum, a meeting, all maxima."""
        core, blocks = self.core, self.tile.blocks
        found = self.made.tensor("maxima", "fp32", (blocks, 8), "scratch")
        own = core.buffer("ub", REGISTER, "maximum")
        scale = core.buffer("ub", REGISTER, "scale")
        every = core.buffer("ub", up(blocks * 32, REGISTER) * REGISTER, "maxima")
        clear, largest, last = self.functions.maximum()
        core.call(clear, own)
        with self.turns() as turn:
            self.load(turn)
            with self.xs.stage("v") as source:
                core.call(largest, source["x"], turn.count, own)
            self.xs.advance()
        core.call(last, own)
        flag = core.flags([("v", "mte3"), ("mte2", "v")], 1)
        core.hand_over("v", "mte3", flag)
        core.store(found, core.worker, own, pitch=8, n=8)
        core("xset", src="mte3", scope="grid", id=0)
        core("xwait", dst="mte2", id=0)
        core.load(every, found, 0, n=8 * blocks)
        core.hand_over("mte2", "v", flag)
        core.call(self.functions.scale_of(blocks), every, scale)
        core.hand_over("v", "mte3", flag)
        with core.when("eq", core.worker, 0):
            core.store(self.scale, 0, scale, n=1)
        return scale


KERNEL = QuantizeKernel()
