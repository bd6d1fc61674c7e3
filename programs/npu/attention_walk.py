"""The order in which a block of attention goes through its tiles and their steps.

The cube walks twice, ahead for the scores and behind for the product with the values; so do the
vector sub-cores, ahead for the exponentials and behind for the output. All four walk alike, so that
everybody knows which step is meant without being told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from isa.npu import Reg
from programs.npu.attention_plan import AHEAD, Plan
from programs.npu.tiles import Core


class Walk:
    """One walk over a block's steps; registers that say where it is.

    `tile` the tile's number, `key` the first key of the step, `end` behind the tile's last key,
    `first` 1 in the first step of a tile. `enter(unit, row)` is called where a tile begins, with
    its unit and first row in registers.
    """

    def __init__(
        self, core: Core, plan: Plan, enter: Callable[[Reg, Reg], None] = lambda unit, row: None
    ) -> None:
        self.core, self.plan, self._enter = core, plan, enter
        self.tile, self.key, self.end, self.first = (core.reg() for _ in range(4))
        self.hop = core.reg() if plan.work.causal else None

    def start(self) -> None:
        """At the block's first step (there may be none)."""
        core, blocks = self.core, self.plan.blocks
        core("sr", which="block", dst=self.tile)
        if self.hop is not None:
            core.op("add", self.hop, self.tile, self.tile)
            core.op("sub", self.hop, self.hop, 2 * blocks - 1)
            core("sub", dst=self.hop, a=Reg("x", 0), b=self.hop)
        self._enter_tile()

    def advance(self) -> None:
        """On to the next step, of the next tile where this one is done."""
        core, plan = self.core, self.plan
        core.op("add", self.key, self.key, plan.keys)
        core.mov(self.first, 0)
        with core.when("ge", self.key, self.end):
            if self.hop is None:
                core.op("add", self.tile, self.tile, plan.blocks)
            else:  # back and forth over the blocks, since tiles become shorter
                core.op("add", self.tile, self.tile, self.hop)
                core.op("sub", self.hop, self.hop, 2 * plan.blocks)
                core("sub", dst=self.hop, a=Reg("x", 0), b=self.hop)
            self._enter_tile()

    def _enter_tile(self) -> None:
        core, plan, work = self.core, self.plan, self.plan.work
        out = core.label()
        core.branch("ge", self.tile, plan.tiles, out)
        core.mov(self.first, 1)
        with self.place() as (unit, row, split):
            if split is not None:
                core.op("mul", self.key, split, plan.split * plan.keys)
                core.op("add", self.end, self.key, plan.split * plan.keys)
                core.op("min", self.end, self.end, work.kv)
            else:
                core.mov(self.key, 0)
                core.mov(self.end, work.kv)
            if work.causal and not plan.packed:
                core.op("add", self.end, row, plan.rows)
                core.op("min", self.end, self.end, work.seq)
                core.op("add", self.end, self.end, work.offset)
            self._enter(unit, row)
        core.bind(out)

    @contextmanager
    def place(self) -> Iterator[tuple[Reg, Reg, Reg | None]]:
        """(unit, first row, split) of the tile."""
        core, plan = self.core, self.plan
        unit, row, split = core.reg(), core.reg(self.tile), None
        if plan.splits > 1:
            split = core.op("rem", core.reg(), self.tile, plan.splits)
            core.op("div", row, row, plan.splits)
        core.op("div", unit, row, plan.row_tiles)
        core.op("rem", row, row, plan.row_tiles)
        if plan.work.causal:  # the longest first
            core.op("sub", row, row, plan.row_tiles - 1)
            core("sub", dst=row, a=Reg("x", 0), b=row)
        core.scaled(row, row, plan.rows)
        yield unit, row, split
        core.free(unit, row, *([] if split is None else [split]))

    def size(self, keys: Reg) -> Reg:
        """keys = how many this step has."""
        core = self.core
        core.op("sub", keys, self.end, self.key)
        return core.op("min", keys, keys, self.plan.keys)

    @contextmanager
    def if_last(self) -> Iterator[None]:
        """The block is for a tile's last step."""
        with self.core.temporary() as behind:
            self.core.op("add", behind, self.key, self.plan.keys)
            out = self.core.label()
            self.core.branch("lt", behind, self.end, out)
        yield
        self.core.bind(out)


def walk_both(
    ahead: Walk, behind: Walk, lead: Callable[[], None], follow: Callable[[Reg], None]
) -> None:
    """`lead` for every step of `ahead`, `follow` for every one of `behind`, AHEAD steps later.

    `follow` gets the number of steps that are led and not yet followed.
    """
    core = ahead.core
    tiles = ahead.plan.tiles
    out, top, drain = core.label(), core.label(), core.label()
    open_ = core.reg(0)
    ahead.start()
    behind.start()
    core.branch("ge", ahead.tile, tiles, out)
    core.bind(top)
    again = core.label()
    core.branch("ge", ahead.tile, tiles, drain)
    lead()
    ahead.advance()
    core.op("add", open_, open_, 1)
    core.branch("le", open_, AHEAD, again)
    core.bind(drain)
    follow(open_)
    behind.advance()
    core.op("sub", open_, open_, 1)
    core.bind(again)
    core.branch("lt", ahead.tile, tiles, top)
    core.branch("gt", open_, 0, top)
    core.bind(out)
    core.free(open_)


@contextmanager
def part_of_step(core: Core, plan: Plan, keys: Reg, number: int) -> Iterator[Reg]:
    """The number of keys in a part of the step; the block is left out if there are none."""
    out, size = core.label(), core.reg()
    core.op("sub", size, keys, number * plan.part)
    if number:
        core.branch("le", size, 0, out)
    core.op("min", size, size, plan.part)
    yield size
    core.bind(out)
    core.free(size)
