"""Products on the LPU: weights stay in the planes, rows stream through them.

The output is cut into weight tiles of `width` columns, dealt out to the planes so that all are
equally loaded; K is cut into passes of the mode's k, accumulated inside the planes in ascending
order. Rows go in tiles of at most the accumulator depth. Planes of one row share an activation
stream and run in lock step; the next pass's weights load while the present one runs. With few rows
(the decode case) loading is what takes time: then both halves of the outward streams carry weights
back to back and the few activations slip into the cycle that an install leaves free.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

from emulator.lpu.chip import LpuChip
from isa.program import Digit, Layout, Tensor
from isa.table import BYTES_OF
from programs.encoding import is_block_scaled
from programs.kernel import KernelError
from programs.lpu.floor import FEED, Floor, lanes_per_cycle, plan_floor, widest_tile
from programs.lpu.passes import Tile, run_passes
from programs.lpu.schedule import Arena, Block, Fragment, Place, Run, Schedule, Value
from programs.lpu.tiles import BLOCK, RowTiles, Shape3, cdiv, operand_tensors


@dataclass(frozen=True)
class Tiling:
    """How m x n x k is cut. Planes form a grid of `pm` rows (of m) by `pn` columns (of n)."""

    m: int
    n: int
    k: int
    pm: int
    pn: int
    width: int  # columns of a weight tile
    tiles: int  # weight tiles per plane, one after another
    passes: int  # of k
    depth: int  # k of one pass
    rows: int  # rows of a row tile
    row_tiles: int  # per plane
    streaming: bool  # few rows: bound by loading weights

    @property
    def chunk(self) -> int:
        """Rows of one row of planes."""
        return self.rows * self.row_tiles


def tilings(floor: Floor, dtype: str, m: int, n: int, k: int) -> list[Tiling]:
    """Grids of planes, the cheapest first: fewest passes times rows, then fewest weight copies."""
    mode = floor.chip.mode(dtype)
    planes = floor.chip.mxm.planes // mode.planes
    widest, step = widest_tile(floor, dtype), lanes_per_cycle(floor, dtype)
    passes = cdiv(k, mode.k)
    ranked: list[tuple[tuple[int, int], Tiling]] = []
    for pn in (p for p in range(planes, 0, -1) if planes % p == 0):
        pm = min(planes // pn, m)
        tiles = cdiv(n, pn * widest)
        width = cdiv(cdiv(n, pn * tiles), step) * step
        row_tiles = cdiv(cdiv(m, pm), floor.chip.mxm.acc_rows)
        rows = cdiv(m, pm * row_tiles)
        load = cdiv(width, step)
        cost = passes * tiles * row_tiles * max(rows + 1, load + 1)
        tiling = Tiling(m, n, k, pm, pn, width, tiles, passes, mode.k, rows, row_tiles,
                        rows < 2 * load)  # fmt: skip
        ranked.append(((cost, pm), tiling))
    return [tiling for _, tiling in sorted(ranked, key=lambda entry: entry[0])]


Built = TypeVar("Built")


def first_fit(
    chip: LpuChip, dtype: str, m: int, n: int, k: int, build: Callable[[Matmul], Built]
) -> Built:
    """`build` with the cheapest tiling whose tensors fit the SRAM.

    `KernelError` of the most frugal one where none does.
    """
    candidates = tilings(plan_floor(chip), dtype, m, n, k)
    for tiling in candidates[:-1]:
        with suppress(KernelError):
            return build(Matmul(chip, dtype, tiling))
    return build(Matmul(chip, dtype, candidates[-1]))


class Matmul:
    """One product under construction: tensors in SRAM, then the schedule.

    Also the building block of kernels that multiply (swiglu): `product` can be given a function
    that consumes the emitted rows instead of storing them.
    """

    def __init__(self, chip: LpuChip, dtype: str, tiling: Tiling) -> None:
        self.chip, self.dtype, self.tiling = chip, dtype, tiling
        self.floor = plan_floor(chip)
        self.arena = Arena(chip)
        mode = chip.mode(dtype)
        self.planes = tuple(range(0, chip.mxm.planes, mode.planes))
        # Both planes of a pair bring their slices: passes alternate between the two sets.
        self.sets = 1 if self.floor.shared else mode.planes
        self.bytes = BYTES_OF[dtype]
        self.scaled = is_block_scaled(dtype)
        self.blocks_per_pass = mode.k // BLOCK

    # ---- where tensors lie -----------------------------------------------------------------

    def place_activations(self, name: str) -> tuple[list[Tensor], dict[str, RowTiles]]:
        """a [m, k], a copy in each hemisphere: (tensors, rows by hemisphere)."""
        t = self.tiling
        shape = Shape3(1, t.m, t.k, t.rows, t.depth)
        banks = (0,) if self.floor.shared else (0, 1)
        sides = sorted({self.chip.plane_side(p) for p in self.planes[: t.pm * t.pn]}, reverse=True)
        tiles = {
            side: RowTiles(self.arena, self.floor.pool[side], self.dtype, shape, f"rows of {name}",
                           banks=banks, axes=(None, 0, 1)) for side in sides
        }  # fmt: skip
        layouts = [rows.layouts() for rows in tiles.values()]
        return operand_tensors(name, self.dtype, (t.m, t.k), 1, layouts), tiles

    def place_weights(self, name: str) -> tuple[list[Tensor], Weights]:
        """b [k, n]: column n of a tile is one weight vector; 16 slices feed 16 streams."""
        t = self.tiling
        per_cycle = lanes_per_cycle(self.floor, self.dtype)
        feed = per_cycle * self.bytes
        depth, deep = t.width // per_cycle, cdiv(t.passes, self.sets)
        per_plane, per_row = feed * self.sets, feed * self.sets * t.pn
        slices = [s for p in self.planes[: t.pm * t.pn] for s in self._slices(p, feed)]
        block = self.arena.block(slices, 0, deep * t.tiles * depth, f"weights {name}")
        elements, scale_layouts = [], []
        for row in range(t.pm):
            mine = tuple(slices[row * per_row : (row + 1) * per_row])
            elements.append(Layout(mine, block.base, (
                Digit(1, 1, per_cycle, slice=self.bytes),
                Digit(1, per_cycle, depth, addr=block.step),
                Digit(1, t.width, t.pn, slice=per_plane),
                Digit(1, t.width * t.pn, t.tiles, addr=depth * block.step),
                Digit(0, t.depth, self.sets, slice=feed),
                Digit(0, t.depth * self.sets, deep, addr=t.tiles * depth * block.step),
            ), 0, 1, t.depth))  # fmt: skip
        # A tile's digit restarts at every tile only if widths are whole cycles.
        assert t.width % per_cycle == 0
        scales = None
        if self.scaled:
            assert self.sets == 1, "block-scaled formats use one plane"
            scales = self.arena.block(slices, 0, t.passes * t.tiles, f"scales of {name}")
            for row in range(t.pm):
                mine = tuple(slices[row * per_row : (row + 1) * per_row])
                scale_layouts.append(Layout(mine, scales.base, (
                    Digit(0, 1, self.blocks_per_pass, slice=1),
                    Digit(0, self.blocks_per_pass, t.passes, addr=t.tiles * scales.step),
                    Digit(1, t.width, t.pn, slice=feed),
                    Digit(1, t.width * t.pn, t.tiles, addr=scales.step),
                ), 1, 1, t.width))  # fmt: skip
        layouts = list(zip_longest(elements, scale_layouts))
        tensors = operand_tensors(name, self.dtype, (t.k, t.n), 0, layouts)
        weights = Weights(t, block, scales, feed, self.sets, per_cycle, self.bytes, depth)
        return tensors, weights

    def _slices(self, plane: int, feed: int) -> list[str]:
        """The slices of a plane (of a pair: of both), `feed` of each set."""
        sets = self.floor.weights[plane : plane + self.sets]
        return [s for names in sets for s in names[:feed]]

    def place_results(
        self, name: str, dtype: str, quad: int | None = None
    ) -> tuple[Tensor, Results]:
        """c [m, n] of 4-byte elements: each plane's tiles in bank 1 of its own slices.

        With `quad` all in that one of the plane's groups of four slices, so that several results
        can be read at once.
        """
        t = self.tiling
        have = len(self._slices(0, FEED)) // 4 if quad is None else 1
        left = 0 if quad is None else 4 * quad
        groups = next(g for g in range(min(have, t.row_tiles), 0, -1)
                      if t.pm == 1 or t.row_tiles % g == 0)  # fmt: skip
        deep = cdiv(t.row_tiles, groups)
        slices = [
            s for p in self.planes[: t.pm * t.pn]
            for s in self._slices(p, FEED)[left : left + 4 * groups]
        ]  # fmt: skip
        block = self.arena.block(slices, 1, deep * t.tiles * t.rows, f"results {name}")
        step = block.step
        layout = Layout(tuple(slices), block.base, (
            Digit(1, t.width, t.pn, slice=4 * groups),
            Digit(1, t.width * t.pn, t.tiles, addr=t.rows * step),
            Digit(0, t.chunk, t.pm, slice=t.pn * 4 * groups),
            Digit(0, t.rows, groups, slice=4),
            Digit(0, t.rows * groups, deep, addr=t.tiles * t.rows * step),
            Digit(0, 1, t.rows, addr=step),
        ), 1, 1, t.width)  # fmt: skip
        return Tensor(name, dtype, (t.m, t.n), "out", (layout,)), Results(t, block, groups)

    # ---- the schedule ----------------------------------------------------------------------

    def product(self, schedule: Schedule, a: dict[str, RowTiles], b: Weights, *c: Results) -> None:
        """Place all fragments of c = a b; each of several `c` gets a copy."""
        t = self.tiling
        order = [(i, tile, p) for i in range(t.row_tiles) for tile in range(t.tiles)
                 for p in range(t.passes)]  # fmt: skip
        grid = [(row, self.planes[row * t.pn : (row + 1) * t.pn]) for row in range(t.pm)]
        if not t.streaming and t.passes > 1 and self._in_lock_step():
            for step in (step for step in order if step[2] == 0):
                for row, planes in grid:
                    self._load(schedule, b, row, planes, step)
                for row, planes in grid:
                    self._run_passes(schedule, a, b, c, row, planes, step)
            return
        if not t.streaming:
            for step in order:
                for row, planes in grid:
                    self._load(schedule, b, row, planes, step)
                    self._install(schedule, row, planes, step)
                for row, planes in grid:
                    self._run(schedule, a, c, row, planes, step)
            return
        # Loads lead by one pass, so that they take the streams first and activations fit between.
        for ahead, step in zip([*order[1:], None], order, strict=True):
            if step == order[0]:
                for row, planes in grid:
                    self._load(schedule, b, row, planes, step)
            for row, planes in grid:
                self._install(schedule, row, planes, step)
            if ahead is not None:
                for row, planes in grid:
                    self._load(schedule, b, row, planes, ahead)
            for row, planes in grid:
                for plane in planes:
                    self._run(schedule, a, c, row, (plane,), step)

    def _in_lock_step(self) -> bool:
        """Whether passes can be one fragment: nothing in them gets in the way of itself."""
        mode = self.chip.mode(self.dtype)
        return not self.floor.shared and mode.cycles_per_mm == 1

    def _run_passes(self, schedule: Schedule, a: dict[str, RowTiles], b: Weights,
                    c: tuple[Results, ...], row: int, planes: tuple[int, ...],
                    step: tuple[int, int, int]) -> None:  # fmt: skip
        i, tile, _ = step
        busy, n = self._busy(row, planes, step), self._rows(row, i)
        for side in sorted({self.chip.plane_side(q) for q in busy}, reverse=True):
            mine = [q for q in busy if self.chip.plane_side(q) == side]
            first = row * self.tiling.chunk + i * self.tiling.rows
            run_passes(self, schedule, a[side], b, c, side, Tile(mine, i, tile, first, n))

    def stored_tiles(self) -> list[tuple[int, int, int, int]]:
        """(plane index, row tile, weight tile, rows) of every stored tile of the result."""
        t = self.tiling
        return [
            (row * t.pn + column, i, tile, n)
            for i in range(t.row_tiles) for tile in range(t.tiles) for row in range(t.pm)
            for column in range(t.pn)
            if (n := self._rows(row, i)) and self.columns(self.planes[column], tile)
        ]  # fmt: skip

    def columns(self, plane: int, tile: int) -> int:
        """Columns of a plane's weight tile (0: nothing to do)."""
        t = self.tiling
        index = tile * t.pn + self.planes.index(plane) % t.pn
        return max(0, min(t.width, t.n - index * t.width))

    def _busy(self, row: int, planes: tuple[int, ...], step: tuple[int, int, int]) -> list[int]:
        if self._rows(row, step[0]) == 0:
            return []
        return [p for p in planes if self.columns(p, step[1])]

    def _rows(self, row: int, i: int) -> int:
        t = self.tiling
        return max(0, min(t.rows, t.m - row * t.chunk - i * t.rows))

    def _load(self, schedule: Schedule, b: Weights, row: int, planes: tuple[int, ...],
              step: tuple[int, int, int]) -> None:  # fmt: skip
        t = self.tiling
        _, tile, p = step
        lanes = min(t.depth, t.k - p * t.depth)
        # With many rows the activations hold a stream of the upper half all the time.
        groups = (0, 16) if t.streaming else (0,)
        for plane in self._busy(row, planes, step):
            index = self.planes.index(plane)
            rows = self.columns(plane, tile)
            what = f"plane {plane} tile {tile} pass {p}"
            key = (plane, rows, lanes, p % self.sets)
            f = schedule.alike(("load", *key), f"load {what}", [b.place(tile, p)])
            if f.empty:
                value = b.value(f, index, tile, p, rows)
                f.load_weights(plane, self.dtype, value, rows, lanes, groups)
            schedule.planes.load(f)
            if b.scales is not None:
                f = schedule.alike(("scales", *key), f"scales {what}", [b.place_scales(tile, p)])
                if f.empty:
                    value = b.scale_value(f, index, tile, p, cdiv(lanes, BLOCK))
                    f.load_scales(plane, self.dtype, value, groups)
                schedule.planes.load(f)

    def _install(self, schedule: Schedule, row: int, planes: tuple[int, ...],
                 step: tuple[int, int, int]) -> None:  # fmt: skip
        for plane in self._busy(row, planes, step):
            schedule.planes.install(plane)

    def _run(self, schedule: Schedule, a: dict[str, RowTiles], c: tuple[Results, ...], row: int,
             planes: tuple[int, ...], step: tuple[int, int, int]) -> None:  # fmt: skip
        t = self.tiling
        i, tile, p = step
        busy, n = self._busy(row, planes, step), self._rows(row, i)
        if not busy:
            return
        first = row * t.chunk + i * t.rows
        # Planes of one hemisphere run in lock step, so that rows are read once.
        for side in sorted({self.chip.plane_side(q) for q in busy}, reverse=True):
            mine = tuple(q for q in busy if self.chip.plane_side(q) == side)
            of_x, at = a[side].place(0, p, first, n)
            ends = (p == 0, p == t.passes - 1)
            f = schedule.alike(
                ("rows", mine, n, ends, of_x, *(copy.group(i) for copy in c)),
                f"rows {first}.. tile {tile} pass {p}",
                [*at, *(copy.place(i, tile) for copy in c)],
            )
            if f.empty:
                x = a[side].value(f, 0, p, first, n)
                for plane in mine:
                    out = f.matmul(plane, self.dtype, x, start=ends[0], emit=ends[1])
                    if out is None:
                        continue
                    for copy in c:
                        copy.store(f, out, self.planes.index(plane), i, tile)
            schedule.planes.run(f)


@dataclass(frozen=True)
class Weights:
    """b in SRAM: `feed` slices per plane."""

    tiling: Tiling
    block: Block
    scales: Block | None
    feed: int
    sets: int
    per_cycle: int
    bytes: int
    depth: int

    def place(self, tile: int, p: int) -> Place:
        """Where a tile's pass begins in the slices of its plane."""
        return self.block, (p // self.sets * self.tiling.tiles + tile) * self.depth

    def place_scales(self, tile: int, p: int) -> Place:
        """The same of its block scales."""
        assert self.scales is not None
        return self.scales, p * self.tiling.tiles + tile

    def value(self, f: Fragment, plane: int, tile: int, p: int, rows: int) -> Value:
        """The weight vectors of `rows` output lanes on 16 streams."""
        _, first = self.place(tile, p)
        at = (plane * self.sets + p % self.sets) * self.feed
        sources: list[list[Run]] = []
        for stream in range(FEED):
            lane = stream // self.bytes
            if lane >= min(rows, self.per_cycle):
                sources.append([])
                continue
            count = cdiv(rows - lane, self.per_cycle)
            sources.append([Run(self.block.on(at + stream), first, count)])
        return f.read_runs(sources, cdiv(rows, self.per_cycle))

    def runs(self, plane: int, tile: int, stream: int, rows: int, period: int) -> list[Run]:
        """One stream of the loads of passes 1, 2, ..., `period` cycles apart."""
        lane = stream // self.bytes
        if lane >= min(rows, self.per_cycle):
            return []
        count, runs = cdiv(rows - lane, self.per_cycle), []
        for first in range(1, min(1 + self.sets, self.tiling.passes)):
            part = first % self.sets
            groups = cdiv(self.tiling.passes - first, self.sets)
            block = self.block.on((plane * self.sets + part) * self.feed + stream)
            _, at = self.place(tile, first)
            runs.append(Run(block, at, count, 1, groups, self.sets * period,
                            self.tiling.tiles * self.depth, (first - 1) * period))  # fmt: skip
        return runs

    def scale_value(self, f: Fragment, plane: int, tile: int, p: int, blocks: int) -> Value:
        """The scale vectors of one pass on ten streams."""
        scales, first = self.place_scales(tile, p)
        sources = [[Run(scales.on(plane * self.feed + b), first, 1)] for b in range(blocks)]
        return f.read_runs([*sources, *[[]] * (10 - blocks)])


@dataclass(frozen=True)
class Results:
    """c in SRAM: `groups` groups of four byte planes per plane."""

    tiling: Tiling
    block: Block
    groups: int

    def group(self, i: int) -> int:
        """The group of a row tile."""
        return i % self.groups

    def place(self, i: int, tile: int) -> Place:
        """Where a tile begins in its slices."""
        first = (i // self.groups * self.tiling.tiles + tile) * self.tiling.rows
        return self.block, first

    def _place(self, plane: int, i: int, tile: int) -> tuple[Block, int]:
        at = (plane * self.groups + self.group(i)) * 4
        block, first = self.place(i, tile)
        return block.on(*range(at, at + 4)), first

    def store(self, f: Fragment, rows: Value, plane: int, i: int, tile: int) -> None:
        """Write rows of row tile `i` (of the plane's), weight tile `tile`."""
        f.write(rows, *self._place(plane, i, tile))

    def value(self, f: Fragment, plane: int, i: int, tile: int, n: int) -> Value:
        """Read them back."""
        block, first = self._place(plane, i, tile)
        return f.read(block, first, n)
