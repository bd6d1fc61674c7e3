"""Tensors [heads, rows, depth] in SRAM, as rows that stream or as weights that are loaded.

Both know their layout (for the host) and hand out values (for fragments). K is cut into passes of
`depth` lanes, rows into tiles.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from isa.program import Digit, Layout, Tensor
from isa.table import BYTES_OF
from programs.encoding import is_block_scaled
from programs.lpu.floor import FEED
from programs.lpu.schedule import Arena, Block, Fragment, Place, Run, Value, lie, repeated

BLOCK = 32  # elements that share a scale


def cdiv(a: int, b: int) -> int:
    """Ceiling of a / b."""
    return -(-a // b)


Layouts = Sequence[tuple[Layout, Layout | None]]  # (elements, block scales) of every copy


def operand_tensors(
    name: str, dtype: str, shape: tuple[int, ...], axis: int, layouts: Layouts
) -> list[Tensor]:
    """An input and, for block-scaled formats, its ``.scale`` (blocks of 32 along `axis`)."""
    tensors = [Tensor(name, dtype, shape, "in", tuple(elements for elements, _ in layouts))]
    scales = tuple(of_blocks for _, of_blocks in layouts if of_blocks is not None)
    if scales:
        blocks = (*shape[:axis], cdiv(shape[axis], BLOCK), *shape[axis + 1 :])
        tensors.append(Tensor(f"{name}.scale", "e8m0", blocks, "in", scales, pad=127))
    return tensors


@dataclass(frozen=True)
class Shape3:
    """[heads, rows, depth] cut into row tiles of `tile` rows and passes of `lanes` elements."""

    heads: int
    rows: int
    depth: int
    tile: int
    lanes: int

    @property
    def tiles(self) -> int:
        return cdiv(self.rows, self.tile)

    @property
    def passes(self) -> int:
        return cdiv(self.depth, self.lanes)

    def rows_of(self, tile: int) -> int:
        return min(self.tile, self.rows - tile * self.tile)

    def lanes_of(self, p: int) -> int:
        return min(self.lanes, self.depth - p * self.lanes)


class RowTiles:
    """Rows that stream as activations: consecutive words, tiles dealt out to groups of slices.

    Elements wider than a byte (or with block scales) take two neighbouring slices.
    """

    def __init__(
        self, arena: Arena, pool: Sequence[str], dtype: str, shape: Shape3, what: str, *,
        banks: tuple[int, ...] = (0,), axes: tuple[int | None, int, int] = (0, 1, 2),
    ) -> None:  # fmt: skip
        """`axes` are the tensor's axes for (heads, rows, depth); no head axis: None.

        With two `banks` row tiles alternate between them, group after group.
        """
        self.axes = axes
        self.shape, self.scaled = shape, is_block_scaled(dtype)
        self.streams = BYTES_OF[dtype] + self.scaled
        groups = max(1, len(pool) // self.streams)
        self.by_head = min(shape.heads, groups)
        self.by_tile = min(shape.tiles, groups // self.by_head)
        used = pool[: self.by_head * self.by_tile * self.streams]
        self.deep_heads = cdiv(shape.heads, self.by_head)
        self.deep_tiles = cdiv(shape.tiles, self.by_tile * len(banks))
        size = self.deep_heads * self.deep_tiles * shape.passes * shape.tile
        self.blocks = [arena.block(used, bank, size, what) for bank in banks]

    def layouts(self) -> tuple[Layout, Layout | None]:
        """(elements, block scales or None)."""
        block, banks = self.blocks[0], len(self.blocks)
        sh, step = self.shape, block.step
        to_second = self.blocks[-1].base - block.base
        per_tile = sh.passes * sh.tile * step

        head, row, lane = self.axes

        def digits(streams: int) -> tuple[Digit, ...]:
            outer = () if head is None else (
                Digit(head, 1, self.by_head, slice=streams * self.by_tile),
                Digit(head, self.by_head, self.deep_heads, addr=self.deep_tiles * per_tile),
            )  # fmt: skip
            return (
                *outer,
                Digit(row, sh.tile, self.by_tile, slice=streams),
                Digit(row, sh.tile * self.by_tile, banks, addr=to_second),
                Digit(row, sh.tile * self.by_tile * banks, self.deep_tiles, addr=per_tile),
                Digit(row, 1, sh.tile, addr=step),
            )

        def by_pass(div: int) -> Digit:
            return Digit(lane, div, sh.passes, addr=sh.tile * step)

        slices, base = block.slices, block.base
        if not self.scaled:
            own = (*digits(self.streams), by_pass(sh.lanes))
            return Layout(slices, base, own, lane, 1, sh.lanes), None
        blocks = sh.lanes // BLOCK
        elements = Layout(slices[0::2], base, (*digits(1), by_pass(sh.lanes)), lane, 1, sh.lanes)
        scales = Layout(slices[1::2], base, (*digits(1), by_pass(blocks)), lane, 1, blocks, BLOCK)
        return elements, scales

    def value(self, f: Fragment, head: int, p: int, first: int, count: int) -> Value:
        """Rows ``first .. first+count-1`` of a head, pass p, as one burst."""
        return f.read_runs(self.runs(head, p, first, count), count)

    def passes(self, f: Fragment, first: int, count: int, period: int) -> Value:
        """Rows of one row tile, pass after pass, the passes `period` cycles apart."""
        runs = self._runs(0, 0, first, count)
        if len(runs[0]) != 1:
            raise ValueError("a burst of passes stays inside one row tile")
        passes = self.shape.passes
        sources = [
            [replace(run, groups=passes, period=period, step2=self.shape.tile) for run in part]
            for part in runs
        ]
        return f.read_runs(sources, mask=repeated((1 << count) - 1, passes, period))

    def place(self, head: int, p: int, first: int, count: int) -> tuple[Hashable, list[Place]]:
        """What `Schedule.alike` has to know of a `value`."""
        return lie(self._runs(head, p, first, count))

    def runs(self, head: int, p: int, first: int, count: int) -> list[list[Run]]:
        """The reads behind `value`, per stream."""
        return self._runs(head, p, first, count)

    def store(self, f: Fragment, value: Value, head: int, p: int, first: int, count: int) -> None:
        """Write the vectors of a value as rows ``first .. first+count-1`` of one tile."""
        runs = self._runs(head, p, first, count)
        if len(runs[0]) != 1:
            raise ValueError("a store stays inside one row tile")
        slices = tuple(part[0].block.slices[0] for part in runs)
        f.write(value, runs[0][0].block.on_slices(slices), runs[0][0].first)

    def _runs(self, head: int, p: int, first: int, count: int) -> list[list[Run]]:
        sh = self.shape
        sources: list[list[Run]] = [[] for _ in range(self.streams)]
        row = first
        while row < first + count:
            tile, within = divmod(row, sh.tile)
            n = min(sh.tile - within, first + count - row)
            at = (head % self.by_head * self.by_tile + tile % self.by_tile) * self.streams
            deep, bank = divmod(tile // self.by_tile, len(self.blocks))
            block = self.blocks[bank]
            index = head // self.by_head * self.deep_tiles + deep
            start = (index * sh.passes + p) * sh.tile + within
            for part in range(self.streams):
                sources[part].append(Run(block.on(at + part), start, n))
            row += n
        return sources


class WeightTiles:
    """Rows that are loaded as weights: row i of a tile becomes output lane i of a plane.

    16 slices feed the 16 streams of a load. `row_axis` says which axis of the tensor
    [heads, ., .] is the output lanes; the other is the contraction. The first of `groups` (16
    slices each) is used alone if it can hold the tensor; else whole tiles are dealt out to all
    groups, and then to both banks.
    """

    def __init__(
        self, arena: Arena, groups: Sequence[Sequence[str]], dtype: str, shape: Shape3,
        row_axis: int, what: str,
    ) -> None:  # fmt: skip
        self.shape, self.row_axis = shape, row_axis
        self.bytes = BYTES_OF[dtype]
        self.per_cycle = FEED // self.bytes
        self.cycles = cdiv(shape.tile, self.per_cycle)
        extents = [shape.heads, shape.tiles, shape.passes]
        self.dealt = extents.index(max(extents))  # heads, tiles or passes are dealt out
        scaled = is_block_scaled(dtype)
        for count, banks in ((1, (0,)), (len(groups), (0,)), (len(groups), (0, 1))):
            slices = [name for group in groups[:count] for name in group[:FEED]]
            self.extents = list(extents)
            self.extents[self.dealt] = cdiv(extents[self.dealt], count * len(banks))
            tiles = math.prod(self.extents)
            if all(arena.free(slices, bank) >= tiles * (self.cycles + scaled) for bank in banks):
                break
        self.groups = count
        self.blocks = [arena.block(slices, bank, tiles * self.cycles, what) for bank in banks]
        self.scales = [arena.block(slices, bank, tiles, what) for bank in banks if scaled]

    def layouts(self) -> tuple[Layout, Layout | None]:
        """(elements, block scales or None)."""
        sh, row, lane = self.shape, self.row_axis, 3 - self.row_axis
        step = self.blocks[0].step
        # The place within a tile comes from (row mod tile), so cut the tile out first.
        within = _within(row, sh.tile, sh.rows, self.per_cycle, self.bytes, step)
        digits = (*within, *self._outer(self.blocks, self.cycles * step, sh.lanes))
        first = self.blocks[0]
        elements = Layout(first.slices, first.base, digits, lane, 1, sh.lanes)
        if not self.scales:
            return elements, None
        blocks, first = sh.lanes // BLOCK, self.scales[0]
        digits = (
            Digit(lane, 1, blocks, slice=1),
            *self._outer(self.scales, first.step, blocks),
        )
        return elements, Layout(first.slices, first.base, digits, row, 1, sh.tile)

    def _outer(self, blocks: list[Block], per_tile: int, by_pass: int) -> list[Digit]:
        """Digits of head, tile and pass; the dealt one also picks group and bank."""
        row, lane = self.row_axis, 3 - self.row_axis
        _, tiles, passes = self.extents
        digits = []
        dimensions = ((0, 1, tiles * passes), (row, self.shape.tile, passes), (lane, by_pass, 1))
        for i, (axis, div, stride) in enumerate(dimensions):
            if i == self.dealt:
                digits.append(Digit(axis, div, self.groups, slice=FEED))
                to_second = blocks[-1].base - blocks[0].base
                digits.append(Digit(axis, div * self.groups, len(blocks), addr=to_second))
                div *= self.groups * len(blocks)
            digits.append(Digit(axis, div, self.extents[i], addr=stride * per_tile))
        return digits

    def _place(self, head: int, tile: int, p: int) -> tuple[int, int, int]:
        """(bank's position, first slice of the group, index among the tiles there)."""
        index = [head, tile, p]
        rest, group = divmod(index[self.dealt], self.groups)
        index[self.dealt], bank = divmod(rest, len(self.blocks))
        _, tiles, passes = self.extents
        return bank, group * FEED, (index[0] * tiles + index[1]) * passes + index[2]

    def place(self, head: int, tile: int, p: int) -> tuple[Hashable, Place]:
        """What `Schedule.alike` has to know of a `value`."""
        bank, at, index = self._place(head, tile, p)
        return at, (self.blocks[bank], index * self.cycles)

    def place_scales(self, head: int, tile: int, p: int) -> tuple[Hashable, Place]:
        """The same of a `scale_value`."""
        bank, at, index = self._place(head, tile, p)
        return at, (self.scales[bank], index)

    def value(self, f: Fragment, head: int, tile: int, p: int, extra: Block | None = None) -> Value:
        """The weight vectors of a tile on 16 streams; `extra` (a block over 16 feeding slices) is
        one more vector after the last row."""
        rows = self.shape.rows_of(tile)
        total = rows + (extra is not None)
        bank, at, index = self._place(head, tile, p)
        block, first = self.blocks[bank], index * self.cycles
        sources: list[list[Run]] = []
        for stream in range(FEED):
            lane = stream // self.bytes
            runs = []
            if lane < min(rows, self.per_cycle):
                runs.append(Run(block.on(at + stream), first, cdiv(rows - lane, self.per_cycle)))
            if extra is not None and rows % self.per_cycle == lane:
                runs.append(Run(extra.on(stream), 0, 1))
            sources.append(runs)
        return f.read_runs(sources, cdiv(total, self.per_cycle))

    def scale_value(self, f: Fragment, head: int, tile: int, p: int) -> Value:
        """The scale vectors of a tile and pass on ten streams."""
        bank, at, index = self._place(head, tile, p)
        blocks = cdiv(self.shape.lanes_of(p), BLOCK)
        sources = [[Run(self.scales[bank].on(at + b), index, 1)] for b in range(blocks)]
        return f.read_runs([*sources, *[[]] * (10 - blocks)])


def _within(
    axis: int, tile: int, rows: int, per_cycle: int, stride: int, step: int
) -> tuple[Digit, ...]:
    """Digits of a row's place within its tile: stream row % per_cycle, then the cycle.

    Tiles are whole cycles, except where there is only one.
    """
    if rows > tile and tile % per_cycle:
        raise ValueError("row tiles of weights are multiples of the rows loaded per cycle")
    return (
        Digit(axis, 1, per_cycle, slice=stride),
        Digit(axis, per_cycle, cdiv(tile, per_cycle), addr=step),
    )
