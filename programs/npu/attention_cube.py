"""The cube's half of attention: scores of one step while the vectors work on the ones before.

Per step: k in (MTE2), scores [keys, rows] part by part (MTE1, M), out to the vectors' UB (FIX);
and, AHEAD steps behind: v in, p from L1 where the vectors put it, o [rows, head_dim] out to UB,
where the vectors add it up. Flags between cube and vectors count; see `Counted`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from isa.npu import Reg
from isa.npu_fields import float_bits
from programs.npu.attention_plan import Plan
from programs.npu.attention_walk import Walk, part_of_step, walk_both
from programs.npu.buffers import FLAGS, Ring
from programs.npu.emit import Value
from programs.npu.tiles import WIDTHS, TileProgram
from programs.npu.tiling import BLOCK, up


class Counted:
    """Counted flags. On the cube one per vector sub-core, because one may run ahead."""

    SCORES_FREE, P_READY, OUT_FREE = 0, 2, 4  # on the cube: + number of the vector sub-core
    SCORES_READY, P_FREE, OUT_READY, MEETING = 0, 1, 2, 3  # on a vector sub-core


@dataclass
class Places:
    """What both halves must agree on: tensors by name, addresses in L1 and UB."""

    tensors: dict[str, int]
    p: tuple[int, int] = (0, 0)  # two steps of p in L1
    p_step: int = 0  # from part to part
    scores: tuple[int, int] = (0, 0)  # two steps of scores in UB
    product: int = 0  # p v of a step in UB


class CubeHalf:
    """Emits the cube's program."""

    def __init__(self, program: TileProgram, plan: Plan, places: Places) -> None:
        self.plan, self.places = plan, places
        self.core = core = program.cube
        self.width = WIDTHS[plan.bits]
        self.sum = "int32" if plan.dtype == "int8" else "fp32"

        def sizes(name: str) -> dict[str, tuple[str, int]]:
            found = {"x": ("l1", plan.l1[name])}
            if plan.scaled:
                found["scale"] = ("l1", plan.l1[f"{name}.scale"])
            return found

        self.q, self.k, self.v = (core.ring(name, ("mte2", "mte1"), sizes(name)) for name in "qkv")
        places.p_step = up(plan.l1["p"], 256) * 256
        half = plan.parts * places.p_step
        p = core.buffer("l1", 2 * half, "p")
        places.p = p, p + half
        self.unit_scale = 0
        if plan.scaled:
            self.unit_scale = core.buffer("l1", plan.rows * up(plan.part, BLOCK), "scales of p")
        deep, wide = plan.bytes(plan.depth), plan.bytes(plan.width)
        a = max(plan.part * deep, plan.rows * plan.bytes(plan.part))
        b = max(plan.rows * deep, plan.part * wide)
        scale_a = max(plan.part * up(plan.depth, BLOCK), plan.rows * up(plan.part, BLOCK))
        scale_b = max(up(plan.depth, BLOCK) * plan.rows, up(plan.part, BLOCK) * plan.width)
        more_a = {"scale": ("l0as", scale_a)} if plan.scaled else {}
        more_b = {"scale": ("l0bs", scale_b)} if plan.scaled else {}
        self.a = core.ring("a", ("mte1", "m"), {"x": ("l0a", a), **more_a})
        self.b = core.ring("b", ("mte1", "m"), {"x": ("l0b", b), **more_b})
        self.s = core.ring("scores", ("m", "fix"), {"x": ("l0c", plan.part * plan.rows * 4)})
        self.o = core.ring("product", ("m", "fix"), {"x": ("l0c", plan.rows * plan.width * 4)})

    # ---- the program -----------------------------------------------------------------------------

    def emit(self) -> None:
        core, plan = self.core, self.plan
        self.k_head, self.v_head = core.reg(), core.reg()
        self.factor: Value = float_bits(1 / math.sqrt(plan.work.dim))
        self.value_factor: Reg | None = None
        if plan.factored:
            self.factor = self._factor("score.scale")
            self.value_factor = self._factor("value.scale")
        if plan.scaled:
            self._unit_scales()
        for _ in range(2):
            core.count_up("mte1", "vectors", Counted.P_FREE)
        self.ahead = Walk(core, plan, lambda unit, _: self._head(self.k_head, unit))
        self.behind = Walk(core, plan, lambda unit, _: self._head(self.v_head, unit))
        walk_both(self.ahead, self.behind, self._scores, self._values)

    def _factor(self, name: str) -> Reg:
        """A scale that the host chose, for sums on their way to the vectors."""
        core = self.core
        with core.temporary() as at:
            core.mov(at, self.places.tensors[name])
            factor = core.reg()
            core("ld", space="gm", width="u32", dst=factor, base=at)
        return factor

    def _unit_scales(self) -> None:
        """Scales of 1 for p, which is rounded without."""
        core, blocks = self.core, up(self.plan.part, BLOCK)
        with core.operands(dst=self.unit_scale, src=self.places.tensors["p.scale"],
                           n=self.plan.rows * blocks) as operands:  # fmt: skip
            core("load", space="l1", width="b8", **operands)
        core.hand_over("mte2", "mte1", FLAGS - 1)

    def _head(self, to: Reg, unit: Reg) -> None:
        """The key head of a unit."""
        plan = self.plan
        if plan.packed or plan.work.group == 1:
            self.core.mov(to, unit)
        else:
            self.core.op("div", to, unit, plan.work.group)

    # ---- helpers ---------------------------------------------------------------------------------

    @contextmanager
    def _at(self, ring: Ring, part: str, offset: int) -> Iterator[Reg]:
        """An address in a ring's current slot."""
        register = ring.address(part)
        if offset:
            self.core.op("add", register, register, offset)
        yield register
        self.core.free(register)

    @contextmanager
    def _address(self, name: str, row: Reg, pitch: int) -> Iterator[Reg]:
        """The address of row `row` of a tensor."""
        with self.core.temporary() as at:
            self.core.op("mul", at, row, pitch)
            self.core.op("add", at, at, self.places.tensors[name])
            yield at

    @contextmanager
    def _step(self, ring: Ring, addresses: tuple[int, int]) -> Iterator[Reg]:
        """Which of two addresses goes with the current slot of a ring that turns every step."""
        assert ring.slot is not None
        with self.core.temporary() as at:
            self.core.op("mul", at, ring.slot, addresses[1] - addresses[0])
            self.core.op("add", at, at, addresses[0])
            yield at

    def _load(self, ring: Ring, part: str, src: Reg, **operands: Value) -> None:
        """MTE2: rows into L1."""
        width = "b8" if part == "scale" else self.width
        with self._at(ring, part, 0) as dst, self.core.operands(**operands) as held:
            self.core("load", space="l1", width=width, dst=dst, src=src, **held)

    def _load0(
        self, buf: str, ring: Ring, part: str, src: Reg, transpose: bool = False, **operands: Value
    ) -> None:
        """MTE1: a tile into L0."""
        width = "b8" if part == "scale" else self.width
        with self._at(ring, part, 0) as dst, self.core.operands(**operands) as held:
            self.core("load0", buf=buf, width=width, dst=dst, src=src, transpose=transpose, **held)

    def _mmad(self, to: Ring, init: bool, **sizes: Value) -> None:
        """M: what the current slots of L0A and L0B hold."""
        core = self.core
        scales = {"ascale": self.a, "bscale": self.b} if self.plan.scaled else {}
        with self._at(to, "x", 0) as dst, self._at(self.a, "x", 0) as a, \
                self._at(self.b, "x", 0) as b, core.operands(**sizes) as held:  # fmt: skip
            at = {name: ring.address("scale") for name, ring in scales.items()}
            core("mmad", type=self.plan.dtype, dst=dst, a=a, b=b, init=init, **held, **at)
            core.free(*at.values())

    # ---- scores ----------------------------------------------------------------------------------

    def _scores(self) -> None:
        core, plan, walk = self.core, self.plan, self.ahead
        keys = walk.size(core.reg())
        with core.when("ne", walk.first, 0):
            self._load_q()
        self._load_keys(keys)
        self.k.begin("mte1")
        shared = plan.depth == plan.work.dim  # one tile of q serves all parts
        for number in range(plan.parts):
            with part_of_step(self.core, self.plan, keys, number) as size:
                if plan.phases > 1:
                    core.op("add", size, size, plan.phases - 1)
                    core.op("and", size, size, -plan.phases)
                if shared and number == 0:
                    self._q_to_l0(0)
                    self.b.begin("m")
                self._part_of_scores(number, size, shared)
        if shared:
            self.b.end("m")
            self.b.advance()
        self.k.end("mte1")
        with walk.if_last():
            self.q.end("mte1")
            self.q.advance()
        core.count_up("fix", "vectors", Counted.SCORES_READY)
        self.k.advance()
        core.free(keys)

    def _load_q(self) -> None:
        """The tile's rows of q; MTE1 waits for them here."""
        core, plan = self.core, self.plan
        self.q.begin("mte2")
        with self.ahead.place() as (unit, row, _), core.temporary() as rows:
            core.op("sub", rows, row, plan.unit_rows)
            core("sub", dst=rows, a=Reg("x", 0), b=rows)
            core.op("min", rows, rows, plan.rows)
            core.op("mul", unit, unit, plan.unit_rows)
            core.op("add", row, row, unit)
            with self._address("q", row, plan.bytes(plan.work.dim)) as at:
                self._load(self.q, "x", at, n=plan.work.dim, rows=rows, high=plan.rows)
            if plan.scaled:
                with self._address("q.scale", row, plan.dim_blocks) as at:
                    self._load(self.q, "scale", at, n=plan.dim_blocks, rows=rows, high=plan.rows,
                               pad=127)  # fmt: skip
        self.q.end("mte2")
        self.q.begin("mte1")

    def _load_keys(self, keys: Reg) -> None:
        core, plan, work = self.core, self.plan, self.plan.work
        with core.temporary() as row, core.temporary() as high:
            core.op("mul", row, self.k_head, work.kv)
            core.op("add", row, row, self.ahead.key)
            more: dict[str, Value] = {}
            if plan.phases > 1:  # whole registers of scores
                core.op("add", high, keys, plan.phases - 1)
                more["high"] = core.op("and", high, high, -plan.phases)
            self.k.begin("mte2")
            with self._address("k", row, plan.bytes(work.dim)) as at:
                self._load(self.k, "x", at, n=work.dim, rows=keys, **more)
            if plan.scaled:
                with self._address("k.scale", row, plan.dim_blocks) as at:
                    self._load(self.k, "scale", at, n=plan.dim_blocks, rows=keys, pad=127, **more)
        self.k.end("mte2")

    def _q_to_l0(self, first: int) -> None:
        """q transposed, [depth, rows], from element `first` of head_dim on."""
        plan = self.plan
        depth = min(plan.depth, plan.work.dim - first)
        self.b.begin("mte1")
        with self._at(self.q, "x", plan.bytes(first)) as src:
            self._load0("b", self.b, "x", src, True, rows=depth, cols=plan.rows,
                        pitch=plan.bytes(plan.work.dim))  # fmt: skip
        if plan.scaled:
            with self._at(self.q, "scale", first // BLOCK) as src:
                self._load0("bs", self.b, "scale", src, True, rows=up(depth, BLOCK),
                            cols=plan.rows, pitch=plan.dim_blocks)  # fmt: skip
        self.b.end("mte1")

    def _part_of_scores(self, number: int, size: Reg, shared: bool) -> None:
        """Scores of a part, [keys, rows], to the vectors."""
        core, plan = self.core, self.plan
        row = number * plan.part
        self.s.begin("m")
        for first in range(0, plan.work.dim, plan.depth):
            depth = min(plan.depth, plan.work.dim - first)
            if not shared:
                self._q_to_l0(first)
            self.a.begin("mte1")
            offset = row * plan.bytes(plan.work.dim) + plan.bytes(first)
            with self._at(self.k, "x", offset) as src:
                self._load0("a", self.a, "x", src, rows=size, cols=depth,
                            pitch=plan.bytes(plan.work.dim))  # fmt: skip
            if plan.scaled:
                with self._at(self.k, "scale", row * plan.dim_blocks + first // BLOCK) as src:
                    self._load0("as", self.a, "scale", src, rows=size, cols=up(depth, BLOCK),
                                pitch=plan.dim_blocks)  # fmt: skip
            self.a.end("mte1")
            self.a.begin("m")
            if not shared:
                self.b.begin("m")
            self._mmad(self.s, first == 0, m=size, n=plan.rows, k=depth)
            self.a.end("m")
            self.a.advance()
            if not shared:
                self.b.end("m")
                self.b.advance()
        self.s.end("m")
        self.s.begin("fix")
        if number == 0:
            for vector in range(plan.vectors):
                core.await_count("fix", Counted.SCORES_FREE + vector)
        with self._step(self.k, self.places.scores) as dst:
            core.op("add", dst, dst, row * plan.lanes * 4)
            for vector in range(plan.vectors):
                with self._at(self.s, "x", vector * plan.lanes * 4) as src, core.operands(
                    n=plan.lanes, src_pitch=plan.rows * 4, sub=vector, scale=self.factor
                ) as held:  # fmt: skip
                    core("fix", space="ub", type=self.sum, to="fp32", dst=dst, src=src, m=size,
                         **held)  # fmt: skip
        self.s.end("fix")
        self.s.advance()

    # ---- the product with the values -------------------------------------------------------------

    def _values(self, _: Reg) -> None:
        core, plan = self.core, self.plan
        keys = self.behind.size(core.reg())
        self._load_values(keys)
        self.v.begin("mte1")
        for first in range(0, plan.work.dim, plan.width):
            self.o.begin("m")
            for number in range(plan.parts):
                with part_of_step(self.core, self.plan, keys, number) as size:
                    self._part_of_values(first, number, size)
            self._out(first)
        self.v.end("mte1")
        self.v.advance()
        core.count_up("mte1", "vectors", Counted.P_FREE)
        core.count_up("fix", "vectors", Counted.OUT_READY)
        core.free(keys)

    def _load_values(self, keys: Reg) -> None:
        core, work = self.core, self.plan.work
        self.v.begin("mte2")
        with core.temporary() as row:
            core.op("mul", row, self.v_head, work.kv)
            core.op("add", row, row, self.behind.key)
            with self._address("v", row, self.plan.bytes(work.dim)) as at:
                self._load(self.v, "x", at, n=work.dim, rows=keys)
            if self.plan.scaled:
                with core.temporary() as blocks:
                    core.op("mul", row, self.v_head, up(work.kv, BLOCK))
                    core.op("shr", blocks, self.behind.key, 5)
                    core.op("add", row, row, blocks)
                    self._blocks(blocks, keys)
                    with self._address("v.scale", row, work.dim) as at:
                        self._load(self.v, "scale", at, n=work.dim, rows=blocks)
        self.v.end("mte2")

    def _blocks(self, to: Reg, keys: Reg) -> Reg:
        """Block scales of so many keys."""
        self.core.op("add", to, keys, BLOCK - 1)
        return self.core.op("shr", to, to, 5)

    def _part_of_values(self, first: int, number: int, size: Reg) -> None:
        """o += p v for a part of the keys and columns from `first` on."""
        core, plan = self.core, self.plan
        width = min(plan.width, plan.work.dim - first)
        self.b.begin("mte1")
        row = number * plan.part
        with self._at(self.v, "x", row * plan.bytes(plan.work.dim) + plan.bytes(first)) as src:
            self._load0("b", self.b, "x", src, rows=size, cols=width,
                        pitch=plan.bytes(plan.work.dim))  # fmt: skip
        if plan.scaled:
            with core.temporary() as blocks:
                self._blocks(blocks, size)
                with self._at(self.v, "scale", row // BLOCK * plan.work.dim + first) as src:
                    self._load0("bs", self.b, "scale", src, rows=blocks, cols=width,
                                pitch=plan.work.dim)  # fmt: skip
        self.b.end("mte1")
        self.a.begin("mte1")
        if first == 0:
            for vector in range(plan.vectors):
                core.await_count("mte1", Counted.P_READY + vector)
        with self._step(self.v, self.places.p) as src:
            core.op("add", src, src, number * self.places.p_step)
            self._load0("a", self.a, "x", src, True, rows=plan.rows, cols=size,
                        pitch=plan.bytes(plan.rows))  # fmt: skip
        if plan.scaled:
            with core.temporary() as src, core.temporary() as blocks:
                core.mov(src, self.unit_scale)
                self._blocks(blocks, size)
                self._load0("as", self.a, "scale", src, rows=plan.rows, cols=blocks,
                            pitch=up(plan.part, BLOCK))  # fmt: skip
        self.a.end("mte1")
        self.a.begin("m")
        self.b.begin("m")
        self._mmad(self.o, number == 0, m=plan.rows, n=width, k=size)
        for ring in (self.a, self.b):
            ring.end("m")
            ring.advance()

    def _out(self, first: int) -> None:
        """Columns of the step's p v to the vectors, half of the rows each."""
        core, plan = self.core, self.plan
        self.o.end("m")
        self.o.begin("fix")
        if first == 0:
            for vector in range(plan.vectors):
                core.await_count("fix", Counted.OUT_FREE + vector)
        width = min(plan.width, plan.work.dim - first)
        more = {"scale": self.value_factor} if self.value_factor is not None else {}
        with self._at(self.o, "x", 0) as src, core.operands(
            dst=self.places.product + 4 * first, m=plan.rows, n=width, dst_pitch=plan.row_bytes
        ) as held:  # fmt: skip
            core("fix", space="ub", type=self.sum, to="fp32", src=src, split=plan.vectors == 2,
                 **held, **more)  # fmt: skip
        self.o.end("fix")
        self.o.advance()
