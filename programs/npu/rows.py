"""Kernels over [rows, columns] on the vector sub-cores: tiles of rows, and loops over them.

`rowwise` builds kernels whose results depend on the whole row, `pieces` those kernels for rows that
UB cannot hold; kernels that work element by element are built here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from emulator.npu.chip import NpuChip
from isa.npu import Reg
from isa.program import Program
from programs.kernel import KernelError, Params
from programs.npu.simd import LANES, Function, Mask, Vector, lanes_bytes
from programs.npu.tiles import TileProgram
from programs.rows import RowsMaths

FLOATS = ("fp32", "fp16", "bf16", "e4m3", "e5m2", "hif8")
TILE = 32768  # bytes of a tile of y that are worth a DMA of their own
SPARE = 1024  # bytes of UB that tiles leave to small things
TOGETHER = 4  # rows that a function works on at once, to hide latencies


def up(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


class NpuRows(RowsMaths):
    """Formats of the kernels over rows."""

    machine = "npu"

    def dtypes(self, chip: NpuChip) -> tuple[str, ...]:
        return tuple(d for d in FLOATS if d == "fp32" or d in chip.dtypes)

    def checked(self, chip: NpuChip, dtype: str) -> str:
        if dtype not in self.dtypes(chip):
            granted = ", ".join(self.dtypes(chip))
            raise KernelError(f"{self.name} on {chip.name} takes {granted}, not {dtype}")
        return dtype


@dataclass(frozen=True)
class RowTile:
    """How rows lie in UB: each padded to whole registers."""

    rows: int  # of a tile
    cols: int
    x_pitch: int  # bytes
    y_pitch: int
    depth: int  # tiles in UB at once
    blocks: int
    chunk: int = LANES  # elements that a function takes at once

    @property
    def full(self) -> int:
        """Whole chunks of a row."""
        return self.cols // self.chunk

    @property
    def tail(self) -> int:
        """Elements in the last chunk if it is not whole."""
        return self.cols % self.chunk


def row_need(x: str, y: str, cols: int, chunk: int = LANES, more: int = 0) -> int:
    """Bytes of UB for a row of dtype x, its y, and `more`."""
    padded = up(cols, chunk) * chunk
    return lanes_bytes(x, padded) + lanes_bytes(y, padded) + 4 + more


def row_tile(
    chip: NpuChip, x: str, y: str, rows: int, cols: int, constant: int, chunk: int = LANES,
    more: int = 0,
) -> RowTile | None:  # fmt: skip
    """The tile for rows of dtype x and y; `constant` bytes of UB are taken, `more` per row.

    None if UB cannot hold a row.
    """
    padded = up(cols, chunk) * chunk
    x_pitch, y_pitch = lanes_bytes(x, padded), lanes_bytes(y, padded)
    per_worker = up(rows, chip.vectors)
    room = int(chip.vector.ub) - constant - SPARE
    row = row_need(x, y, cols, chunk, more)
    for depth in (2, 1):
        fit = room // (depth * row)
        if fit >= 1:
            break
    else:
        return None
    most = min(fit, max(TILE // max(x_pitch, y_pitch), 1), per_worker)
    if most > TOGETHER:
        most -= most % TOGETHER
    size = up(per_worker, up(per_worker, most))
    if size > TOGETHER and up(size, TOGETHER) * TOGETHER <= fit:
        size = up(size, TOGETHER) * TOGETHER
    return RowTile(size, cols, x_pitch, y_pitch, depth, min(chip.vectors, up(rows, size)),
                   chunk)  # fmt: skip


Step = Callable[[int, Vector, Vector, "Mask | None"], None]
Join = Callable[[Vector, Vector], None]


class RowsFunction:
    """Emits a SIMD function (x, y, rows, ...) over the rows of a tile, some at a time."""

    def __init__(self, f: Function, tile: RowTile, dtype: str) -> None:
        self.f, self.tile, self.dtype = f, tile, dtype
        self.mask = f.mask(tile.tail) if tile.tail else None

    def rows(self, body: Callable[[list[int]], None], **pitches: int) -> None:
        """`body` for groups of rows; arguments named in `pitches` move on by so many bytes a row.

        body(numbers): emit for rows 0, 1, ... of the group.
        """
        f = self.f
        count = f.reg()
        for together in (TOGETHER, 1):
            if together > self.tile.rows:
                continue
            if together == 1:
                f.op("and", count, f["rows"], TOGETHER - 1)
            else:
                f.op("shr", count, f["rows"], TOGETHER.bit_length() - 1)
            with f.repeat(count):
                body(list(range(together)))
                for name, pitch in pitches.items():
                    f.op("add", f[name], f[name], together * pitch)
        f.free(count)

    def cursors(self, argument: str, pitch: int, numbers: list[int]) -> list[Reg]:
        """A register per row that walks along it."""
        made = [self.f.reg() for _ in numbers]
        for number, register in zip(numbers, made, strict=True):
            self.f.op("add", register, self.f[argument], number * pitch)
        return made

    def ways(self, numbers: list[int]) -> int:
        """Accumulators per row, so that few rows keep V as busy as many."""
        return max(1, min(TOGETHER // len(numbers), self.tile.full))

    def chunks(self, visit: Callable[[Mask | None, int], None], ways: int = 1) -> None:
        """visit(mask, way) for every chunk of a row: whole ones in a hardware loop, `ways` at a
        time, the last one masked if it is not whole."""
        turns, left = divmod(self.tile.full, ways)
        if turns:
            with self.f.repeat(turns):
                for way in range(ways):
                    visit(None, way)
        for way in range(left):
            with self.f.scope():
                visit(None, way)
        if self.mask is not None:
            with self.f.scope():
                visit(self.mask, left)

    def totals(self, numbers: list[int], start: float) -> list[list[Vector]]:
        """Accumulators, [row][way]."""
        return [[self.f.fill(start) for _ in range(self.ways(numbers))] for _ in numbers]

    def joined(self, totals: list[list[Vector]], join: Join) -> list[Vector]:
        """One vector per row; the others are free again."""
        f = self.f
        for row in totals:
            while len(row) > 1:
                last = row.pop()
                join(row[-1], last)
                f.free_vectors(last)
        return [row[0] for row in totals]

    def fold(self, numbers: list[int], start: float, step: Step, join: Join) -> list[Vector]:
        """A vector per row from a number on: step(row, total, x, mask) for every register of it,
        join(total, other) where there are several totals of a row."""
        f = self.f
        totals = self.totals(numbers, start)
        at = self.cursors("x", self.tile.x_pitch, numbers)

        def visit(mask: Mask | None, way: int) -> None:
            for i in numbers:
                with f.scope():
                    step(i, totals[i][way], f.load(at[i], self.dtype, step=True), mask)

        self.chunks(visit, self.ways(numbers))
        f.free(*at)
        return self.joined(totals, join)

    def map(
        self, numbers: list[int], step: Callable[[int, Vector, Mask | None, int], Vector]
    ) -> None:
        """y = step(row, x, mask, way), register by register."""
        f = self.f
        at = self.cursors("x", self.tile.x_pitch, numbers)
        to = self.cursors("y", self.tile.y_pitch, numbers)

        def visit(mask: Mask | None, way: int) -> None:
            for i in numbers:
                with f.scope():
                    x = f.load(at[i], self.dtype, step=True)
                    f.store(step(i, x, mask, way), to[i], step=True, mask=mask)

        self.chunks(visit, self.ways(numbers))
        f.free(*at, *to)

    def add_into(self, total: Vector, other: Vector) -> None:
        """The join of sums."""
        self.f.add(total, other, into=total)

    def scale(self, total: Vector, epsilon: float, one: Vector) -> tuple[Vector, Vector]:
        """(mean, 1 / sqrt(mean + epsilon)) of a row's total."""
        f = self.f
        mean = f.div(total, float(self.tile.cols))
        root = f.sqrt(f.add(mean, epsilon))
        return mean, f.div(one, root, into=root)

    def scaled(
        self, numbers: list[int], step: Callable[[int, Vector], Vector], gamma: str, beta: str = ""
    ) -> None:
        """y = step(row, x) * gamma + beta; arguments `gamma` and `beta` are vectors [cols]."""
        f = self.f
        at = self.cursors("x", self.tile.x_pitch, numbers)
        to = self.cursors("y", self.tile.y_pitch, numbers)
        columns = [f.reg(f[name]) for name in (gamma, beta) if name]

        def visit(mask: Mask | None, way: int) -> None:
            factors = [f.load(column, step=True) for column in columns]
            for i in numbers:
                with f.scope():
                    y = f.mul(step(i, f.load(at[i], self.dtype, step=True)), factors[0])
                    if beta:
                        y = f.add(y, factors[1])
                    f.store(y, to[i], step=True, mask=mask)

        self.chunks(visit)
        f.free(*at, *to, *columns)


class ElementwiseKernel(NpuRows):
    """Inputs of equal shape -> a result of that shape; rows do not matter."""

    together: ClassVar[int] = TOGETHER  # registers of elements that a function takes at once

    @abstractmethod
    def lanes(self, f: Function, *values: Vector) -> Vector:
        """The result of 64 elements."""

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        rows, cols = int(params["rows"]), int(params["cols"])
        total = rows * cols
        program = TileProgram(chip)
        dtype = self.checked(chip, dtype)
        sources = [program.tensor(n, dtype, (rows, cols)) for n in self.operands]
        out = program.tensor(self.output, "fp32", (rows, cols), "out")
        room = (int(chip.vector.ub) - 4096) // (2 * (4 + len(sources) * lanes_bytes(dtype) / LANES))
        registers = up(up(total, chip.vectors), LANES)  # of a sub-core
        most = max(min(int(room), TILE // 4) // LANES, 1)
        size = up(registers, up(registers, most)) * LANES
        f = program.simd(self.name, *self.operands, "to", "whole", "rest")
        self.emit(f, dtype)
        core = program.vector
        taken = {n: ("ub", size * lanes_bytes(dtype) // LANES) for n in self.operands}
        ring = core.ring("in", ("mte2", "v"), taken)
        result = core.ring("out", ("v", "mte3"), {"y": ("ub", size * 4)})
        blocks = min(chip.vectors, up(total, size))
        with core.tiles(total, size, blocks) as (first, count):
            with ring.stage("mte2") as slot:
                for tensor in sources:
                    core.load(slot[tensor.name], tensor, first, n=count)
            with core.temporary() as whole, core.temporary() as rest:
                core.op("shr", whole, count, LANES.bit_length() - 1)
                core.op("and", rest, count, LANES - 1)
                with ring.stage("v") as source, result.stage("v") as target:
                    at = [source[n] for n in self.operands]
                    core.call(f, *at, target["y"], whole, rest)
            with result.stage("mte3") as slot:
                core.store(out, first, slot["y"], n=count)
            ring.advance()
            result.advance()
        meta = {"kernel": self.name, "dtype": dtype, "shape": {"rows": rows, "cols": cols},
                "tile": str(size)}  # fmt: skip
        return program.finish(blocks, meta)

    def emit(self, f: Function, dtype: str) -> None:
        """Whole registers in a hardware loop, some at a time, then what is left under a mask."""

        def visit(mask: Mask | None) -> None:
            values = [f.load(f[n], dtype, step=True) for n in self.operands]
            f.store(self.lanes(f, *values), f["to"], step=True, mask=mask)

        mask = f.mask(f["rest"])
        together = f.reg()
        f.op("div", together, f["whole"], self.together)
        with f.repeat(together):
            f.interleave([lambda: visit(None)] * self.together)
        f.op("rem", f["whole"], f["whole"], self.together)
        with f.repeat(f["whole"]):
            visit(None)
        f.op("min", f["rest"], f["rest"], 1)
        with f.repeat(f["rest"]):
            visit(mask)
