"""Rows that do not fit into UB: passed in pieces, twice.

The first pass makes a few numbers of every piece, its *statistics* (softmax: the maximum, and the
sum of exponentials below it); statistics of pieces join to those of the row. The second pass brings
the pieces again, from L2 if that has kept them, and makes y.

Rows go round over the vector sub-cores. Where the last round has fewer rows than half of them, each
of its rows is shared by a team: a sub-core takes some of the columns, leaves their statistics in
global memory, and when all have met joins those of its team. In whole rounds a sub-core takes
several rows at once if there are inputs [cols], whose pieces then come once for all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

from emulator.npu.chip import NpuChip
from isa.npu import Reg
from isa.program import Program
from programs.kernel import KernelError
from programs.npu.buffers import Slot
from programs.npu.emit import Value
from programs.npu.rows import TILE, TOGETHER, NpuRows, RowsFunction, RowTile, up
from programs.npu.simd import LANES, REGISTER, Function, Mask, Vector, lanes_bytes
from programs.npu.tiles import TileProgram

SHIFT = LANES.bit_length() - 1
AHEAD = 4  # pieces of x in UB: MTE2 goes on while V ends one pass and begins the next
LINE = 512  # columns: pieces and shares are whole lines of L2 in any format


class PieceFunction(RowsFunction):
    """Emits over one piece of a row: arguments `whole` registers and `rest` elements long."""

    numbers: ClassVar[list[int]] = [0]  # the only row

    def __init__(self, f: Function, tile: RowTile, dtype: str) -> None:
        self.f, self.tile, self.dtype = f, tile, dtype
        self.mask = f.mask(f["rest"])

    def ways(self, numbers: list[int]) -> int:
        return TOGETHER

    def chunks(self, visit: Callable[[Mask | None, int], None], ways: int = 1) -> None:
        f = self.f
        turns = f.reg()
        f.op("div", turns, f["whole"], ways)
        with f.repeat(turns):
            for way in range(ways):
                visit(None, way)
        f.op("rem", turns, f["whole"], ways)
        with f.repeat(turns):
            visit(None, 0)
        f.op("min", turns, f["rest"], 1)
        with f.repeat(turns):
            visit(self.mask, 0)
        f.free(turns)

    def columns(self) -> Vector:
        """How many the piece has, in all lanes."""
        f = self.f
        with f.temporary() as count:
            f.op("shl", count, f["whole"], SHIFT)
            f.op("add", count, count, f["rest"])
            number = f.fill(count, type="int32")
        return f.convert(number, "int32", "fp32", into=number)


@dataclass(frozen=True)
class Share:
    """Rows of which `team` sub-cores take `columns` each."""

    first: int
    rows: int
    team: int
    columns: int


def shares(chip: NpuChip, rows: int, cols: int) -> list[Share]:
    """Whole rounds of rows, and the rows of the last round where they are few."""
    few = rows % chip.vectors
    columns = up(up(cols, min(chip.vectors // few, LANES)), LINE) * LINE if few else cols
    team = up(cols, columns)
    if team == 1:
        return [Share(0, rows, 1, cols)]
    last = Share(rows - few, few, team, columns)
    return [Share(0, rows - few, 1, cols), last] if few < rows else [last]


class PiecesKernel(NpuRows):
    """A kernel that can do its work in pieces of a row."""

    statistics: ClassVar[int]  # numbers that a piece leaves to the others

    @abstractmethod
    def part(self, piece: PieceFunction) -> list[Vector]:
        """The statistics of a piece, each in element 0."""

    @abstractmethod
    def join(self, f: Function, parts: list[Vector], mask: Mask) -> list[Vector]:
        """Statistics, each in element 0, of the parts in the lanes of the mask."""

    @abstractmethod
    def finish(self, piece: PieceFunction, whole: list[Vector]) -> None:
        """y of a piece by the row's statistics, each in all lanes."""

    def build_pieces(self, chip: NpuChip, dtype: str, rows: int, cols: int) -> Program:
        return _Builder(self, chip, dtype, rows, cols).program()


class _Builder:
    """One program: tensors, buffers, functions, and the loops over rows and pieces."""

    def __init__(
        self, kernel: PiecesKernel, chip: NpuChip, dtype: str, rows: int, cols: int
    ) -> None:
        self.kernel, self.dtype, self.rows, self.cols = kernel, dtype, rows, cols
        self.shares = shares(chip, rows, cols)
        self.blocks = min(chip.vectors, max(s.rows * s.team for s in self.shares))
        self.made = TileProgram(chip)
        self.core = core = self.made.vector
        self.x = self.made.tensor("x", dtype, (rows, cols))
        self.columns = [self.made.tensor(n, "fp32", (cols,)) for n in kernel.per_column]
        self.y = self.made.tensor("y", "fp32", (rows, cols), "out")
        self.row_statistics = kernel.statistics * REGISTER  # bytes
        self.group = self.rows_at_once()
        self.table = core.buffer("ub", self.group * self.row_statistics, "statistics")
        size = self.size = self.piece(max(s.columns for s in self.shares))
        x_bytes = lanes_bytes(dtype, size)
        self.tile = RowTile(1, cols, x_bytes, 4 * size, AHEAD, self.blocks)
        self.xs = core.ring("x", ("mte2", "v"), {"x": ("ub", x_bytes)}, AHEAD)
        self.ys = core.ring("y", ("v", "mte3"), {"y": ("ub", 4 * size)})
        parts = {tensor.name: ("ub", 4 * size) for tensor in self.columns}
        self.columns_ring = core.ring("columns", ("mte2", "v"), parts) if parts else None

    def rows_at_once(self) -> int:
        """Rows of a sub-core for which the inputs [cols] come once.

        As many as L2 keeps between the passes, with statistics in an eighth of UB, and no more than
        make the last round longer.
        """
        chip, alone = self.made.chip, self.shares[0]
        if not self.columns or alone.team > 1:
            return 1
        row = lanes_bytes(self.dtype, self.cols) + 4 * self.cols
        most = min(int(chip.l2.capacity) * 3 // 4 // (self.blocks * row),
                   int(chip.vector.ub) // 8 // self.row_statistics)  # fmt: skip

        def rows(group: int) -> int:
            """Rows of the sub-core that has the most."""
            return up(up(alone.rows, group), self.blocks) * group

        groups = range(min(TOGETHER, most), 1, -1)
        return next((n for n in groups if rows(n) == rows(1)), 1)

    def piece(self, columns: int) -> int:
        """Columns of a piece: equal pieces, AHEAD of x and two of the other tensors in UB."""
        chip = self.made.chip
        of_register = AHEAD * lanes_bytes(self.dtype) + 2 * (1 + len(self.columns)) * REGISTER
        room = self.core.buffers.left("ub")
        most = min(room // of_register * LANES, TILE // 4)
        if most < LANES:
            raise KernelError(
                f"{chip.name}: {LANES} columns of a row need"
                f" {of_register + int(chip.vector.ub) - room:,} bytes of UB,"
                f" it has {int(chip.vector.ub):,}"
            )
        if most > LINE:
            most -= most % LINE
        step = min(most, LINE)
        return min(most, up(up(columns, up(columns, most)), step) * step)

    def program(self) -> Program:
        core = self.core
        self.part, self.join, self.finish = self.part_function(), self.join_function(), self.last()
        for share in self.shares:
            if share.team > 1:
                self.together(share)
                continue
            with core.tiles(share.rows, self.group, self.blocks) as (first, count):
                with self.each(first, count) as (row, table):
                    self.measure(row, table, 0, self.cols)
                self.write(first, count, 0, self.cols)
        meta = {"kernel": self.kernel.name, "dtype": self.dtype,
                "shape": {"rows": self.rows, "cols": self.cols},
                "tile": f"{self.group}x{self.size}"}  # fmt: skip
        return self.made.finish(self.blocks, meta)

    def together(self, share: Share) -> None:
        """Rows that sub-cores share."""
        core, team, count = self.core, share.team, self.kernel.statistics
        row, member, first, stop = core.reg(), core.reg(), core.reg(), core.reg()
        core.op("div", row, core.worker, team)
        core.op("rem", member, core.worker, team)
        core.scaled(first, member, share.columns)
        core.op("add", stop, first, share.columns)
        core.op("min", stop, stop, self.cols)
        members = share.rows * team
        found = self.made.tensor("statistics", "fp32", (share.rows, count, team), "scratch")
        flag = core.flags([("v", "mte3"), ("mte3", "mte2"), ("mte2", "v")], 1)

        def working() -> AbstractContextManager[None]:
            return core.when("lt", core.worker, members) if members < self.blocks else nullcontext()

        with core.temporary() as place:
            core.scaled(place, row, count * team)
            if share.first:
                core.op("add", row, row, share.first)
            with working():
                self.measure(row, self.table, first, stop)
                core.hand_over("v", "mte3", flag)
                core.op("add", member, member, place)
                core.store(found, member, self.table, n=1, rows=count, src_pitch=REGISTER,
                           dst_pitch=4 * team)  # fmt: skip
                core.hand_over("mte3", "mte2", flag)  # the table is free for those of the others
            core.count_up("mte3", "grid", 0)
            core.await_count("mte2", 0)
            with working():
                core.load(self.table, found, place, n=team, rows=count, dst_pitch=REGISTER)
                core.hand_over("mte2", "v", flag)
                core.call(self.join, self.table, team)
                self.write(row, 1, first, stop)
        core.free(row, member, first, stop)

    # ---- the two passes --------------------------------------------------------------------------

    @contextmanager
    def each(self, first: Reg, count: Value) -> Iterator[tuple[Reg, Value]]:
        """(row, address of its statistics) for rows of a group."""
        core = self.core
        if self.group == 1 or count == 1:
            yield first, self.table
            return
        row, stop, table = core.reg(), core.reg(), core.reg(self.table)
        core.op("add", stop, first, count)
        with core.loop(row, first, stop, 1):
            yield row, table
            core.op("add", table, table, self.row_statistics)
        core.free(row, stop, table)

    def measure(self, row: Reg, table: Value, first: Value, stop: Value) -> None:
        """The statistics of columns `first` to `stop` - 1 into the first lane of the table."""
        core = self.core
        part = core.reg(0)
        with self.pieces(first, stop) as (column, n):
            self.load(row, column, n)
            with core.when("eq", part, LANES):
                core.call(self.join, table, LANES)
                core.mov(part, 1)
            with (
                self.xs.stage("v") as source, self.length(n) as (whole, rest),
                core.temporary() as to,
            ):  # fmt: skip
                core.scaled(to, part, 4)
                core.op("add", to, to, table)
                core.call(self.part, source["x"], whole, rest, to)
            self.xs.advance()
            core.op("add", part, part, 1)
        core.call(self.join, table, part)
        core.free(part)

    def write(self, first_row: Reg, count: Value, first: Value, stop: Value) -> None:
        """y of columns `first` to `stop` - 1 of some rows by the statistics in their tables."""
        core = self.core
        with self.pieces(first, stop) as (column, n):
            with self.gains("mte2") as slot:
                for tensor in self.columns:
                    core.load(slot[tensor.name], tensor, column, n=n)
            with self.gains("v") as gains, self.each(first_row, count) as (row, table):
                self.load(row, column, n, l2="stream")  # nobody reads it again
                with (
                    self.xs.stage("v") as source, self.ys.stage("v") as target,
                    self.length(n) as (whole, rest),
                ):  # fmt: skip
                    core.call(self.finish, source["x"], target["y"], whole, rest, table,
                              *(gains[tensor.name] for tensor in self.columns))  # fmt: skip
                with self.ys.stage("mte3") as slot, self.element(row, column) as at:
                    core.store(self.y, at, slot["y"], n=n)
                self.xs.advance()
                self.ys.advance()
            if self.columns_ring:
                self.columns_ring.advance()

    @contextmanager
    def gains(self, pipe: str) -> Iterator[Mapping[str, Reg] | Slot]:
        """The slot of the inputs [cols], if there are any."""
        if self.columns_ring is None:
            yield {}
            return
        with self.columns_ring.stage(pipe) as slot:
            yield slot

    @contextmanager
    def pieces(self, first: Value, stop: Value) -> Iterator[tuple[Reg, Reg]]:
        """(first column, columns) of every piece."""
        core = self.core
        column, n = core.reg(), core.reg()
        with core.loop(column, first, stop, self.size):
            core.mov(n, stop)
            core.op("sub", n, n, column)
            core.op("min", n, n, self.size)
            yield column, n
        core.free(column, n)

    @contextmanager
    def element(self, row: Reg, column: Reg) -> Iterator[Reg]:
        """The number of an element in its tensor."""
        with self.core.temporary() as at:
            self.core.scaled(at, row, self.cols)
            yield self.core.op("add", at, at, column)

    @contextmanager
    def length(self, n: Reg) -> Iterator[tuple[Reg, Reg]]:
        """Whole registers and the elements of the last one."""
        core = self.core
        with core.temporary() as whole, core.temporary() as rest:
            core.op("shr", whole, n, SHIFT)
            core.op("and", rest, n, LANES - 1)
            yield whole, rest

    def load(self, row: Reg, column: Reg, n: Reg, l2: str = "normal") -> None:
        """A piece of x into the ring."""
        with self.xs.stage("mte2") as slot, self.element(row, column) as at:
            self.core.load(slot["x"], self.x, at, n=n, l2=l2)

    # ---- functions -------------------------------------------------------------------------------

    def part_function(self) -> Function:
        """Statistics of a piece to `to`."""
        f = self.made.simd(f"{self.kernel.name}.part", "x", "whole", "rest", "to")
        found = self.kernel.part(PieceFunction(f, self.tile, self.dtype))
        for number, value in enumerate(found):
            f.store_one(value, f["to"], offset=REGISTER * number)
        return f

    def join_function(self) -> Function:
        """Statistics of the first `count` parts of the table to the first."""
        f = self.made.simd(f"{self.kernel.name}.join", "table", "count")
        parts = [f.load(f["table"], offset=REGISTER * i) for i in range(self.kernel.statistics)]
        for number, value in enumerate(self.kernel.join(f, parts, f.mask(f["count"]))):
            f.store_one(value, f["table"], offset=REGISTER * number)
        return f

    def last(self) -> Function:
        """y of a piece."""
        f = self.made.simd(self.kernel.name, "x", "y", "whole", "rest", "table",
                           *self.kernel.per_column)  # fmt: skip
        whole = [f.load_one(f["table"], offset=REGISTER * i)
                 for i in range(self.kernel.statistics)]  # fmt: skip
        self.kernel.finish(PieceFunction(f, self.tile, self.dtype), whole)
        return f
