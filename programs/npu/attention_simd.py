"""The SIMD functions of attention; scores lie transposed, [keys, rows], so lanes are rows.

`mask` makes scores of keys that a row does not see -inf. `top` finds the maxima over a step's keys
and what the old sums shrink by. `power` makes one part of p and adds it to the sums. `first` and
`add` take the product with the values into o, `finish` divides by the sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from isa.npu import Reg
from programs.attention import P_FORMAT, P_SCALE
from programs.npu.attention_plan import Plan
from programs.npu.simd import LANES, REGISTER, Function, Vector
from programs.npu.tiles import TileProgram

FLOOR = -1e30  # the maximum before any score: finite, so that -inf minus it is still -inf
FOLD = 16  # maxima in flight
TOPS = 4 * REGISTER  # from the sums of a tile to its maxima so far


class Statistics:
    """Where row maxima and the like lie in UB: registers of 64 lanes."""

    def __init__(self, base: int) -> None:
        self.shift = base  # what is taken off before the exponential
        self.inverse = base + REGISTER  # 1 / sum, or the sum where the keys are split
        self.sums = base + 2 * REGISTER  # of the last four tiles; TOPS behind each its maxima
        self.shrink = base + 10 * REGISTER  # of the last four steps


class Functions:
    """All of them, for one plan."""

    def __init__(self, program: TileProgram, plan: Plan, at: Statistics) -> None:
        self.plan, self.at = plan, at
        self.p_format = P_FORMAT.get(plan.dtype, plan.dtype)
        work = plan.work
        self.masks = work.causal or plan.phases > 1
        if self.masks:
            self.mask = self._mask(program.simd("mask", "scores", "count", "key", "row"))
        self.top = self._top(program.simd("top", "scores", "count", "first", "shrink", "sums"))
        self.power = self._power(program.simd("power", "scores", "p", "count", "sums"))
        self.first = self._first(program.simd("first", "product", "out"))
        self.add = self._add(program.simd("add", "product", "out", "shrink"))
        self.finish = self._finish(program.simd("finish", "out", "sums"))
        if plan.splits > 1:
            self.combine = self._combine(
                program.simd("combine", "tops", "sums", "parts", "factors", "out")
            )

    def _mask(self, f: Function) -> Function:
        """scores -> -inf where key > what the row sees; registers hold `phases` keys each."""
        plan, work = self.plan, self.plan.work
        lane = f.each("vindex", 0, type="int32")
        limit = f.vector()
        if work.causal:
            row = f.each("vand", lane, plan.lanes - 1, type="int32")
            f.add(row, f["row"], type="int32", into=row)
            if plan.packed:  # rows of several heads: the position in the head counts
                whole = f.div(row, work.seq, type="int32")
                f.mul(whole, work.seq, type="int32", into=whole)
                f.sub(row, whole, type="int32", into=row)
            f.add(row, work.offset, type="int32", into=row)
            f.min(row, work.kv - 1, type="int32", into=limit)
        else:
            f.fill(work.kv - 1, type="int32", into=limit)
        phase = f.each("vshr", lane, plan.lanes.bit_length() - 1, type="int32")
        f.sub(limit, phase, type="int32", into=limit)
        with f.repeat(f["count"]):
            p = f.compare("ge", limit, f["key"], type="int32")
            kept = f.select(p, f.load(f["scores"]), -math.inf)
            f.store(kept, f["scores"], step=True)
            f.op("add", f["key"], f["key"], plan.phases)
        return f

    def _across_phases(self, f: Function, name: str, x: Vector) -> None:
        """x = name over the lanes of all phases of a row, in every one of them."""
        distance = self.plan.lanes
        while distance < LANES:
            index, moved = f.vector(), f.vector()
            f("vindex", type="uint32", dst=index, a=distance)
            f("vperm", width="b32", dst=moved, a=x, index=index)
            f.each(name, x, moved, into=x)
            f.free_vectors(index, moved)
            distance *= 2

    @staticmethod
    def _rounds(f: Function, size: int) -> Reg:
        """Whole rounds of `size` registers; their rest stays in `count`."""
        rounds = f.op("shr", f.reg(), f["count"], size.bit_length() - 1)
        f.op("and", f["count"], f["count"], size - 1)
        return rounds

    def _top(self, f: Function) -> Function:
        tops = [f.fill(FLOOR) for _ in range(FOLD)]
        with f.repeat(self._rounds(f, FOLD)):
            for top in tops:
                with f.scope():
                    f.max(top, f.load(f["scores"], step=True), into=top)
        with f.repeat(f["count"]):
            f.max(tops[0], f.load(f["scores"], step=True), into=tops[0])
        while len(tops) > 1:
            half = len(tops) // 2
            for one, two in zip(tops[:half], tops[half:], strict=True):
                f.max(one, two, into=one)
            tops = tops[:half]
        top = tops[0]
        self._across_phases(f, "vmax", top)
        fresh, known = f.label(), f.label()
        old, sums = Reg("v", 16), Reg("v", 17)
        f.branch("ne", f["first"], 0, fresh)
        f("vld", width="b32", dist="norm", dst=old, base=f["sums"], offset=TOPS)
        f("vld", width="b32", dist="norm", dst=sums, base=f["sums"])
        f("jump", target=known)
        f.bind(fresh)
        f.fill(FLOOR, into=old)
        f.fill(0.0, into=sums)
        f.bind(known)
        f.max(top, old, into=top)
        f.store(top, f["sums"], offset=TOPS)
        f.sub(old, top, into=old)
        f.exp(old, into=old)
        f.store(old, f["shrink"])
        f.mul(sums, old, into=sums)
        f.store(sums, f["sums"])
        scale = P_SCALE[self.plan.dtype]
        if scale != 1.0:
            f.add(top, -math.log(scale), into=top)
        f.store(top, f.reg(self.at.shift))
        return f

    def _power(self, f: Function) -> Function:
        """p = exp(score - shift), in fp32 for the sums and rounded for the product."""
        at = f.reg(self.at.shift)
        shift = f.load(at)
        sums = [f.fill(0.0) for _ in range(4)]
        store = self._nibbles(f) if self.plan.bits == 4 else self._elements(f)

        def one(total: Vector) -> None:
            with f.scope():
                e = f.exp(f.sub(f.load(f["scores"], step=True), shift))
                f.add(total, e, into=total)
                store(e)

        with f.repeat(self._rounds(f, len(sums))):
            for total in sums:
                one(total)
        with f.repeat(f["count"]):
            one(sums[0])
        f.add(sums[0], sums[1], into=sums[0])
        f.add(sums[2], sums[3], into=sums[2])
        f.add(sums[0], sums[2], into=sums[0])
        f.store(f.add(sums[0], f.load(f["sums"])), f["sums"])
        return f

    def _elements(self, f: Function) -> Callable[[Vector], None]:
        return lambda e: f.store(e, f["p"], self.p_format, step=True)

    def _nibbles(self, f: Function) -> Callable[[Vector], None]:
        """Two codes of four bits in a byte, which a store alone does not make."""
        lane = f.each("vindex", 0, type="int32")
        low = f.each("vshl", lane, 1, type="int32", into=lane)
        high = f.each("vor", low, 1, type="int32")
        half = f.mask(LANES // 2)

        def store(e: Vector) -> None:
            code = f.convert(e, "fp32", self.p_format, sat=True)
            one, other = f.vector(), f.vector()
            for dst, index in ((one, low), (other, high)):
                f("vperm", width="b32", dst=dst, a=code, index=index)
            f.each("vshl", other, 4, type="int32", into=other)
            f.each("vor", one, other, type="int32", into=one)
            f("vst", width="b8", dist="pack4", src=one, base=f["p"], post=LANES // 2, mask=half)

        return store

    # ---- rows of o -------------------------------------------------------------------------------

    def _registers(self, f: Function) -> list[tuple[int, Reg | None]]:
        """(offset, mask of the lanes that belong to o) of a row's registers."""
        dim = self.plan.work.dim
        tail = f.mask(dim % LANES) if dim % LANES else None
        count = -(-dim // LANES)
        return [(REGISTER * i, tail if i == count - 1 else None) for i in range(count)]

    def _next_row(self, f: Function, *names: str) -> None:
        for name in names:
            f.op("add", f[name], f[name], self.plan.row_bytes)

    def _first(self, f: Function) -> Function:
        registers = self._registers(f)
        with f.repeat(self.plan.lanes):
            for offset, mask in registers:
                f.store(f.load(f["product"], offset=offset), f["out"], offset=offset, mask=mask)
            self._next_row(f, "product", "out")
        return f

    def _add(self, f: Function) -> Function:
        registers = self._registers(f)
        with f.repeat(self.plan.lanes):
            factor = f.load_one(f["shrink"], post=4)
            for offset, mask in registers:
                new = f.load(f["product"], offset=offset)
                f.madd(new, f.load(f["out"], offset=offset), factor)
                f.store(new, f["out"], offset=offset, mask=mask)
            self._next_row(f, "product", "out")
        return f

    def _finish(self, f: Function) -> Function:
        total = f.load(f["sums"])
        self._across_phases(f, "vadd", total)
        at = f.reg(self.at.inverse)
        if self.plan.splits > 1:  # whoever combines the splits divides
            f.store(total, at)
            return f
        f.store(f.div(f.fill(1.0), total), at)
        f.fence()
        registers = self._registers(f)
        with f.repeat(self.plan.lanes):
            factor = f.load_one(at, post=4)
            for offset, mask in registers:
                value = f.mul(f.load(f["out"], offset=offset), factor)
                f.store(value, f["out"], offset=offset, mask=mask)
            self._next_row(f, "out")
        return f

    def _combine(self, f: Function) -> Function:
        """A row of o from its splits: sums of parts by exp(maximum - largest) / sum of all."""
        plan = self.plan
        mask = f.mask(plan.splits)
        tops = f.select(mask, f.load(f["tops"]), -math.inf)
        weights = f.exp(f.sub(tops, f.reduce_all("max", tops)), mask=mask)
        shares = f.mul(weights, f.load(f["sums"]), mask=mask)
        f.store(f.div(weights, f.reduce_all("sum", shares)), f["factors"], mask=mask)
        f.fence()
        at, factor_at = f.reg(), f.reg()
        for offset, tail in self._registers(f):
            total = f.fill(0.0)
            f.mov(at, f["parts"])
            f.mov(factor_at, f["factors"])
            with f.repeat(plan.splits):
                f.madd(total, f.load(at, offset=offset), f.load_one(factor_at, post=4))
                f.op("add", at, at, plan.row_bytes)
            f.store(total, f["out"], offset=offset, mask=tail)
            f.free_vectors(total)
        return f
