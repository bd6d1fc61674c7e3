"""The vectors' half of attention: exponentials of one step, and o of the step AHEAD before.

Per step: scores from the cube (FIX puts them into UB), their maxima, p part by part to the cube's
L1 (MTE3); and, AHEAD steps behind: the product with the values, added to o in UB. At the end of a
tile o is divided by the sums and stored; where the keys are split it is stored as it is, with
maxima and sums, and `Combine` puts the splits together when all blocks are done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from isa.npu import Reg
from programs.npu.attention_cube import Counted, Places
from programs.npu.attention_plan import STATISTICS, Plan
from programs.npu.attention_simd import TOPS, Functions, Statistics
from programs.npu.attention_walk import Walk, part_of_step, walk_both
from programs.npu.buffers import FLAGS
from programs.npu.emit import Value
from programs.npu.simd import REGISTER
from programs.npu.tiles import WIDTHS, TileProgram


class VectorHalf:
    """Emits the vector sub-cores' program."""

    def __init__(self, program: TileProgram, plan: Plan, places: Places) -> None:
        self.plan, self.places = plan, places
        self.core = core = program.vector
        size = plan.keys * plan.lanes * 4
        scores = core.buffer("ub", 2 * size, "scores")
        places.scores = scores, scores + size
        places.product = core.buffer("ub", plan.lanes * plan.row_bytes, "product")
        self.at = Statistics(core.buffer("ub", STATISTICS, "row maxima and sums"))
        self.p = core.ring("p", ("v", "mte3"), {"x": ("ub", plan.part * plan.bytes(plan.lanes))})
        self.o = core.ring("o", ("v", "mte3"), {"x": ("ub", plan.lanes * plan.row_bytes)}, depth=1)
        self.f = Functions(program, plan, self.at)

    # ---- the program -----------------------------------------------------------------------------

    def emit(self) -> None:
        core, plan = self.core, self.plan
        self.sub = core.reg()
        core("sr", which="sub", dst=self.sub)
        idle = core.label()
        if plan.vectors == 1:
            core.branch("gt", self.sub, 0, idle)
        self.turn = core.reg(0)  # steps led, modulo 4
        self.sums, self.total = core.reg(self.at.sums), core.reg(self.at.sums)
        self.row: Reg | None = None
        self.safe: Reg | None = None
        if plan.work.causal:
            self.row, self.safe = core.reg(), core.reg()
        for _ in range(2):
            self._tell_cube("v", Counted.SCORES_FREE)
        self._tell_cube("v", Counted.OUT_FREE)
        self.ahead, self.behind = Walk(core, plan, self._enter_scores), Walk(core, plan)
        walk_both(self.ahead, self.behind, self._powers, self._out)
        core.bind(idle)
        if plan.splits > 1:
            self._combine()

    def _tell_cube(self, pipe: str, number: int) -> None:
        """One of the cube's counted flags that each vector sub-core has its own of."""
        with self.core.temporary() as own:
            self.core.count_up(pipe, "cube", self.core.op("add", own, self.sub, number))

    def _enter_scores(self, unit: Reg, row: Reg) -> None:
        """This sub-core's first row, and how many keys all rows of the tile see."""
        core, plan, work = self.core, self.plan, self.plan.work
        if self.row is None or self.safe is None:
            return
        core.op("mul", self.row, self.sub, plan.lanes)
        core.op("add", self.row, self.row, row)
        if plan.packed:
            core.mov(self.safe, work.offset + 1)
        else:
            core.op("add", self.safe, row, work.offset + 1)

    # ---- exponentials ----------------------------------------------------------------------------

    def _powers(self) -> None:
        core, plan, walk = self.core, self.plan, self.ahead
        keys = walk.size(core.reg())
        core.await_count("v", Counted.SCORES_READY)
        with core.temporary() as count, self._scores(0) as scores:
            self._registers(count, keys)
            if self.f.masks:
                self._mask(keys, scores, count)
            with self._shrink(self.turn) as shrink:
                core.call(self.f.top, scores, count, walk.first, shrink, self.sums)
        for number in range(plan.parts):
            with part_of_step(self.core, self.plan, keys, number) as size:
                self._power(number, size)
        self._tell_cube("v", Counted.SCORES_FREE)
        core.op("add", self.turn, self.turn, 1)
        core.op("and", self.turn, self.turn, 3)
        with walk.if_last():
            self._next_sums(self.sums)
        core.free(keys)

    @contextmanager
    def _scores(self, number: int) -> Iterator[Reg]:
        """Where a part of the step's scores lies."""
        core, plan, (one, two) = self.core, self.plan, self.places.scores
        with core.temporary() as at:
            core.op("and", at, self.turn, 1)
            core.op("mul", at, at, two - one)
            core.op("add", at, at, one + number * plan.part * plan.lanes * 4)
            yield at

    @contextmanager
    def _shrink(self, turn: Reg) -> Iterator[Reg]:
        """Where the factors of a step lie."""
        with self.core.temporary() as at:
            self.core.scaled(at, turn, REGISTER)
            self.core.op("add", at, at, self.at.shrink)
            yield at

    def _next_sums(self, register: Reg) -> None:
        """The next of four, since a tile may be as short as a step."""
        core = self.core
        core.op("add", register, register, REGISTER)
        with core.when("eq", register, self.at.sums + 4 * REGISTER):
            core.mov(register, self.at.sums)

    def _registers(self, to: Reg, keys: Reg) -> Reg:
        """Registers of scores that so many keys fill."""
        core, phases = self.core, self.plan.phases
        if phases == 1:
            core.mov(to, keys)
            return to
        core.op("add", to, keys, phases - 1)
        return core.op("shr", to, to, phases.bit_length() - 1)

    def _mask(self, keys: Reg, scores: Reg, count: Reg) -> None:
        """Only where a row of the tile does not see a key of the step."""
        core, plan, walk = self.core, self.plan, self.ahead
        go, out = core.label(), core.label()
        if plan.phases > 1:
            with core.temporary() as ragged:
                core.op("and", ragged, keys, plan.phases - 1)
                core.branch("ne", ragged, 0, go)
        if self.safe is not None:
            with core.temporary() as behind:
                core.op("add", behind, walk.key, keys)
                core.branch("le", behind, self.safe, out)
        else:
            core("jump", target=out)
        core.bind(go)
        row = self.row if self.row is not None else 0
        core.call(self.f.mask, scores, count, walk.key, row)
        core.bind(out)

    def _power(self, number: int, size: Reg) -> None:
        """One part of p: made, and on its way to the cube."""
        core, plan, (one, two) = self.core, self.plan, self.places.p
        with core.temporary() as count, self._scores(number) as at, self.p.stage("v") as p:
            self._registers(count, size)
            core.call(self.f.power, at, p["x"], count, self.sums)
        if number == 0:
            core.await_count("mte3", Counted.P_FREE)
        with self.p.stage("mte3") as p, core.temporary() as dst, core.operands(
            n=plan.lanes, dst_pitch=plan.bytes(plan.rows)
        ) as held:  # fmt: skip
            core.op("and", dst, self.turn, 1)
            core.op("mul", dst, dst, two - one)
            with core.temporary() as column:
                core.op("mul", column, self.sub, plan.bytes(plan.lanes))
                core.op("add", dst, dst, column)
            core.op("add", dst, dst, one + number * self.places.p_step)
            core("store", space="l1", width=WIDTHS[plan.bits], dst=dst, src=p["x"], rows=size,
                 **held)  # fmt: skip
        self.p.advance()
        self._tell_cube("mte3", Counted.P_READY)

    # ---- o ---------------------------------------------------------------------------------------

    def _out(self, behind: Reg) -> None:
        """The product of the step that is `behind` steps back."""
        core, walk, product = self.core, self.behind, self.places.product
        core.await_count("v", Counted.OUT_READY)
        more, done = core.label(), core.label()
        out = self.o.address("x")
        core.branch("eq", walk.first, 0, more)
        self.o.begin("v")
        core.call(self.f.first, product, out)
        core("jump", target=done)
        core.bind(more)
        with core.temporary() as turn:
            core.op("sub", turn, self.turn, behind)
            core.op("and", turn, turn, 3)
            with self._shrink(turn) as shrink:
                core.call(self.f.add, product, out, shrink)
        core.bind(done)
        self._tell_cube("v", Counted.OUT_FREE)
        with walk.if_last():
            core.call(self.f.finish, out, self.total)
            self.o.end("v")
            self.o.begin("mte3")
            self._store(out)
            self.o.end("mte3")
            self._next_sums(self.total)
        core.free(out)

    def _store(self, out: Reg) -> None:
        """This sub-core's rows of o, as many as there are."""
        core, plan = self.core, self.plan
        with self.behind.place() as (unit, row, split), core.temporary() as count:
            core.op("mul", count, self.sub, plan.lanes)
            core.op("add", row, row, count)
            core.op("sub", count, row, plan.unit_rows)
            core("sub", dst=count, a=Reg("x", 0), b=count)
            core.op("min", count, count, plan.lanes)
            core.op("mul", unit, unit, plan.unit_rows)
            core.op("add", row, row, unit)
            with core.when("gt", count, 0):
                if split is None:
                    self._store_rows("o", row, plan.work.dim, out, plan.row_bytes, count)
                else:
                    core.op("mul", row, row, plan.splits)
                    core.op("add", row, row, split)
                    self._store_rows("o.parts", row, plan.work.dim, out, plan.row_bytes, count)
                    with core.temporary() as at:
                        core.op("add", at, self.total, TOPS)
                        self._store_rows("o.tops", row, 1, at, 4, count)
                        core.mov(at, self.at.inverse)
                        self._store_rows("o.sums", row, 1, at, 4, count)

    def _store_rows(
        self, name: str, row: Reg, columns: int, src: Reg, pitch: int, count: Value
    ) -> None:
        """Rows of UB to every `splits`-th row of a tensor."""
        core, size = self.core, 4 * columns
        with core.temporary() as dst, core.operands(
            n=columns, rows=count, src_pitch=pitch, dst_pitch=size * self.plan.splits
        ) as held:  # fmt: skip
            core.op("mul", dst, row, size)
            core.op("add", dst, dst, self.places.tensors[name])
            core("store", space="gm", width="b32", dst=dst, src=src, **held)

    # ---- splits ----------------------------------------------------------------------------------

    def _combine(self) -> None:
        """When all blocks are done: every sub-core puts some rows together."""
        core, plan, tensors = self.core, self.plan, self.places.tensors
        dim, splits = plan.work.dim, plan.splits
        core.count_up("mte3", "grid", Counted.MEETING)
        core.await_count("mte2", Counted.MEETING)
        for pipe in ("v", "mte3"):  # all of UB is free now
            core.hand_over(pipe, "mte2", FLAGS - 1)
        core.buffers.forget("ub")
        ring = core.ring("rows", ("mte2", "v", "mte3"), {
            "tops": ("ub", REGISTER), "sums": ("ub", REGISTER), "factors": ("ub", REGISTER),
            "parts": ("ub", splits * plan.row_bytes), "out": ("ub", plan.row_bytes),
        })  # fmt: skip
        workers = plan.blocks * core.program.chip.vector.per_core
        with core.temporary() as row:
            core("sr", which="block", dst=row)
            core.op("mul", row, row, core.program.chip.vector.per_core)
            core.op("add", row, row, self.sub)
            with core.loop(row, row, plan.units * plan.unit_rows, workers):
                with ring.stage("mte2") as slot:
                    for name, columns, rows in (("tops", splits, 1), ("sums", splits, 1),
                                                ("parts", dim, splits)):  # fmt: skip
                        with core.temporary() as src, core.operands(
                            n=columns, rows=rows, dst_pitch=plan.row_bytes if rows > 1 else 0
                        ) as held:  # fmt: skip
                            core.op("mul", src, row, 4 * columns * rows)
                            core.op("add", src, src, tensors[f"o.{name}"])
                            core("load", space="ub", width="b32", dst=slot[name], src=src, **held)
                with ring.stage("v") as slot:
                    names = ("tops", "sums", "parts", "factors", "out")
                    core.call(self.f.combine, *(slot[n] for n in names))
                with ring.stage("mte3") as slot, core.temporary() as dst, core.operands(
                    n=dim
                ) as held:  # fmt: skip
                    core.op("mul", dst, row, 4 * dim)
                    core.op("add", dst, dst, tensors["o"])
                    core("store", space="gm", width="b32", dst=dst, src=slot["out"], **held)
                ring.advance()
