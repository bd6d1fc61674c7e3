"""The LSTM step as a schedule: the published one, scope after scope, and a tighter one.

Gates i and c have a plane each in the west, o and f in the east; K is [x, h] in passes of the
mode's k, N comes in tiles of its n. What the published schedule does, and every figure of it, is
in Groq's public LSTM example (SDK 0.9); which slices hold what beyond the ones it names is ours.

Slices of a hemisphere, from the vector unit outward, in groups of four (fp32 byte planes):

    group 0   raw product, gate and activation of i (east: o)     banks alternate from scope to
    group 1   the same of c (east: f)                             scope, so reads and writes never
    group 2-5 scales and biases of the two gates                  meet
    group 6   the old state c (east only)
    16 slices weights of the two planes; then two slices with [x, h]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.lpu.chip import LpuChip
from isa.program import Digit, Layout, Program, Tensor
from programs.kernel import KernelError
from programs.lpu.floor import FEED
from programs.lpu.schedule import Arena, Block, Fragment, Op, Run, Schedule, Value
from programs.lpu.tiles import cdiv

GATES = ("i", "c", "o", "f")  # in the order of the planes
LOG2E = 1.4426950408889634
BETWEEN_PASSES = 40  # idle cycles of a plane, published
BETWEEN_PLANES = 20  # by which a hemisphere's second plane starts later, published
NEAR, STATE, GROUPS = (2, 3, 4, 5), 6, 7
ROWS_AT = 4  # [x, h] lies in slices 40 and 41 of 44: the fourth and third from the edge


@dataclass(frozen=True)
class Sizes:
    """hidden = inputs of one step, batch rows; k, n of a plane."""

    hidden: int
    batch: int
    k: int
    n: int

    @property
    def passes(self) -> int:
        return cdiv(2 * self.hidden, self.k)

    @property
    def tiles(self) -> int:
        return cdiv(self.hidden, self.n)

    @property
    def vectors(self) -> int:
        """Of one gate."""
        return self.tiles * self.batch

    def lanes(self, p: int) -> int:
        return min(self.k, 2 * self.hidden - p * self.k)

    def columns(self, tile: int) -> int:
        return min(self.n, self.hidden - tile * self.n)


class LstmPlan:
    """Places tensors, then the schedule asked for."""

    def __init__(self, chip: LpuChip, hidden: int, batch: int, schedule: str) -> None:
        mode = chip.mode("int8")
        if mode.planes != 1:
            raise KernelError(f"lstm does not fit {chip.name}: int8 takes {mode.planes} planes")
        if chip.mxm.planes != len(GATES) or chip.mem.slices < 4 * GROUPS + ROWS_AT:
            raise KernelError(
                f"lstm does not fit {chip.name}: needs {len(GATES)} planes and"
                f" {4 * GROUPS + ROWS_AT} slices a hemisphere, {chip.mxm.planes} planes and"
                f" {chip.mem.slices} slices available"
            )
        if batch > chip.mxm.acc_rows:
            raise KernelError(
                f"lstm does not fit {chip.name}: batch {batch} needs as many accumulator rows,"
                f" {chip.mxm.acc_rows} available"
            )
        self.chip, self.published = chip, schedule == "published"
        self.sizes = Sizes(hidden, batch, mode.k, mode.n)
        self.arena = Arena(chip)
        self.plan = Schedule(chip, f"lstm {hidden}, batch {batch}")
        self.tensors: list[Tensor] = []
        self._place_rows()
        self._place_weights()
        self._place_columns()

    # ---- where tensors lie -----------------------------------------------------------------------

    def _slices(self, side: str, group: int) -> list[str]:
        return [f"{side}{4 * group + i}" for i in range(4)]

    def _rows_slices(self, side: str) -> list[str]:
        first = self.chip.mem.slices - ROWS_AT
        return [f"{side}{first}", f"{side}{first + 1}"]

    def _place_rows(self) -> None:
        """[x, h], pass by pass: published, in one slice, to be copied; else already everywhere."""
        s = self.sizes
        count = s.passes * s.batch
        self.rows = {
            side: self.arena.block(self._rows_slices(side), 1, count, "[x, h]") for side in "we"
        }
        self.source = self.arena.block(["w0"], 0, count, "[x, h]")
        homes = [self.source]
        if not self.published:
            homes = [self.rows[side].on(i) for side in "we" for i in (0, 1)]
        layouts = tuple(
            Layout(b.slices, b.base, (Digit(1, s.k, s.passes, addr=s.batch * b.step),
                                      Digit(0, 1, s.batch, addr=b.step)), 1, 1, s.k)
            for b in homes
        )  # fmt: skip
        self.tensors.append(Tensor("xh", "int8", (s.batch, 2 * s.hidden), "in", layouts))

    def _place_weights(self) -> None:
        """A gate's [x and h, hidden] on the 16 slices that its plane shares with the other."""
        s = self.sizes
        depth = s.n // FEED
        self.weights: dict[str, Block] = {}
        for plane, gate in enumerate(GATES):
            side = self.chip.plane_side(plane)
            last = self.chip.mem.slices - ROWS_AT
            # The tighter schedule gives each plane slices of its own.
            last -= 0 if self.published else FEED * (plane % 2)
            names = [f"{side}{i}" for i in range(last - FEED, last)]
            block = self.arena.block(names, 0, s.tiles * s.passes * depth, f"weights of {gate}")
            self.weights[gate] = block
            layout = Layout(block.slices, block.base, (
                Digit(1, 1, FEED, slice=1),
                Digit(1, FEED, depth, addr=block.step),
                Digit(0, s.k, s.passes, addr=depth * block.step),
                Digit(1, s.n, s.tiles, addr=s.passes * depth * block.step),
            ), 0, 1, s.k)  # fmt: skip
            shape = (2 * s.hidden, s.hidden)
            self.tensors.append(Tensor(f"w_{gate}", "int8", shape, "in", (layout,)))

    def _place_columns(self) -> None:
        """Scales and biases by column, the state, and room for what lies between scopes."""
        s = self.sizes
        self.per_column: dict[str, tuple[Block, Block]] = {}
        self.raw: dict[str, Block] = {}
        self.gate: dict[str, Block] = {}
        self.active: dict[str, Block] = {}
        for plane, name in enumerate(GATES):
            own, group = self.chip.plane_side(plane), plane % 2
            other = "e" if own == "w" else "w"
            self.per_column[name] = (
                self._column_input(f"scale_{name}", own, NEAR[2 * group]),
                self._column_input(f"bias_{name}", own, NEAR[2 * group + 1]),
            )
            self.raw[name] = self._scratch(own, group, 1, f"product of {name}")
            self.gate[name] = self._scratch(other, group, 0, f"gate {name}")
            self.active[name] = self._scratch(own, group, 1, f"activation of {name}")
        self.state = self._rows_tensor("c", "in", "e", STATE, 0)
        self.new_c = self._rows_tensor("c_out", "out", "w", 0, 0)
        self.new_h = self._rows_tensor("h_out", "out", "e", 0, 0)
        assert s.vectors == self.state.count

    def _scratch(self, side: str, group: int, bank: int, what: str) -> Block:
        return self.arena.block(self._slices(side, group), bank, self.sizes.vectors, what)

    def _column_input(self, name: str, side: str, group: int) -> Block:
        s = self.sizes
        block = self.arena.block(self._slices(side, group), 0, s.tiles, name)
        digits = (Digit(0, s.n, s.tiles, addr=block.step),)
        layout = Layout(block.slices, block.base, digits, 0, 1, s.n)
        self.tensors.append(Tensor(name, "fp32", (s.hidden,), "in", (layout,)))
        return block

    def _rows_tensor(self, name: str, role: str, side: str, group: int, bank: int) -> Block:
        s = self.sizes
        block = self._scratch(side, group, bank, name)
        digits = (
            Digit(1, s.n, s.tiles, addr=s.batch * block.step),
            Digit(0, 1, s.batch, addr=block.step),
        )
        layout = Layout(block.slices, block.base, digits, 1, 1, s.n)
        self.tensors.append(Tensor(name, "fp32", (s.batch, s.hidden), role, (layout,)))
        return block

    # ---- the schedule ----------------------------------------------------------------------------

    def program(self, meta: Mapping[str, Any]) -> Program:
        (self._published if self.published else self._tight)()
        return self.plan.program(self.tensors, meta)

    def _published(self) -> None:
        """Five scopes; each starts when the tensors of the one before it are complete in SRAM.

        Weights, scales and biases were there before, so they may be on their way by then.
        """
        self._copy()
        self._products_in_turn()
        everything = range(self.sizes.tiles)
        for scope in (
            [("dequantise", name) for name in GATES],
            [("sigmoid", "i"), ("sigmoid", "o")],
            [("tanh", "c"), ("sigmoid", "f")],
        ):
            complete = self._complete()
            for what, name in scope:
                self._apply(what, name, everything, complete)
        self._update(everything, self._complete())

    def _complete(self) -> int:
        """The first cycle in which all that was written so far can be read."""
        return max(
            placed.last(op) + op.latency + 1
            for placed in self.plan.placements for op in placed.fragment.ops if op.name == "write"
        )  # fmt: skip

    def _copy(self) -> None:
        """Scope 1: one slice has one read port, so the hemispheres are served in turn."""
        for side in "we":
            f = self.plan.fragment(f"copy [x, h] to {', '.join(self._rows_slices(side))}")
            value = f.read(self.source, 0, self.source.count)
            for i in (0, 1):
                f.write(value, self.rows[side].on(i))
            self.plan.place(f)

    def _products_in_turn(self) -> None:
        """Scope 2: load, install, multiply, pause; nothing of a plane overlaps."""
        begin = self._complete()
        first: dict[str, int] = {}  # cycle in which a hemisphere's first load begins
        free = [0] * len(GATES)  # first cycle in which a plane may load again
        for tile in range(self.sizes.tiles):
            for p in range(self.sizes.passes):
                for plane, name in enumerate(GATES):
                    side = self.chip.plane_side(plane)
                    f, op = self._load(plane, name, tile, p)
                    late = first.get(side, -BETWEEN_PLANES) + BETWEEN_PLANES
                    least = free[plane] if free[plane] else max(begin, late)
                    placed = self.plan.planes.load(f, 0, {op: (least, "pause between passes")})
                    load = placed.time(op)
                    first.setdefault(side, load)
                    # A narrow tile takes no less than clearing the whole plane does.
                    self.plan.planes.install(plane, load + self.chip.mode("int8").lw_cycles)
                    f, out = self._multiply(plane, tile, p)
                    if out is not None:
                        f.write(out, self.raw[name], tile * self.sizes.batch)
                    placed = self.plan.planes.run(f)
                    last = max(placed.last(op) for op in f.ops if op.name == "mm")
                    free[plane] = last + 1 + BETWEEN_PASSES

    def _tight(self) -> None:
        """Rows lie where they are read, loads hide, gates go from the planes through the ALUs."""
        steps = [(tile, p) for tile in range(self.sizes.tiles) for p in range(self.sizes.passes)]
        for step, ahead in zip(steps, [*steps[1:], None], strict=True):
            for plane, name in enumerate(GATES):
                if step == steps[0]:
                    self.plan.planes.load(self._load(plane, name, *step)[0])
                self.plan.planes.install(plane)
            for plane, name in enumerate(GATES):
                if ahead is not None:
                    self.plan.planes.load(self._load(plane, name, *ahead)[0])
            tile, p = step
            for plane, name in enumerate(GATES):
                f, out = self._multiply(plane, tile, p)
                if out is not None:
                    x = self._scaled(f, out, name, range(tile, tile + 1))
                    y = f.vxm("tanh.fp32", x) if name == "c" else _sigmoid(f, x)
                    f.write(y, self.active[name], tile * self.sizes.batch)
                self.plan.planes.run(f)
            if p == self.sizes.passes - 1:
                self._update(range(tile, tile + 1))

    # ---- fragments -------------------------------------------------------------------------------

    def _load(self, plane: int, name: str, tile: int, p: int) -> tuple[Fragment, Op]:
        s, block = self.sizes, self.weights[name]
        rows, depth = s.columns(tile), s.n // FEED
        first = (tile * s.passes + p) * depth
        sources: list[Sequence[Run]] = [
            [Run(block.on(i), first, cdiv(rows - i, FEED))] if i < rows else [] for i in range(FEED)
        ]
        key = ("load", plane, rows, s.lanes(p))
        f = self.plan.alike(key, f"load {name} tile {tile} pass {p}", [(block, first)])
        if f.empty:
            value = f.read_runs(sources, cdiv(rows, FEED))
            f.load_weights(plane, "int8", value, rows, s.lanes(p))
        return f, next(op for op in f.ops if op.name == "lw")

    def _multiply(self, plane: int, tile: int, p: int) -> tuple[Fragment, Value | None]:
        s = self.sizes
        f = self.plan.fragment(f"rows for {GATES[plane]} tile {tile} pass {p}")
        x = f.read(self.rows[self.chip.plane_side(plane)].on(plane % 2), p * s.batch, s.batch)
        return f, f.matmul(plane, "int8", x, start=p == 0, emit=p == s.passes - 1)

    def _column_values(self, f: Fragment, block: Block, tiles: range) -> Value:
        """A vector per tile, again for every row."""
        batch = self.sizes.batch
        if batch == 1:
            return f.read(block, tiles.start, len(tiles))
        return f.read(block, tiles.start, batch, step=0, n2=len(tiles), d2=batch, step2=1)

    def _vectors(self, f: Fragment, block: Block, tiles: range) -> Value:
        batch = self.sizes.batch
        return f.read(block, tiles.start * batch, len(tiles) * batch)

    def _scaled(self, f: Fragment, product: Value, name: str, tiles: range) -> Value:
        scale, bias = (self._column_values(f, b, tiles) for b in self.per_column[name])
        cast = f.vxm("cast.int32.fp32", product)
        return f.vxm("add.fp32", f.vxm("mul.fp32", cast, scale), bias)

    def _apply(self, what: str, name: str, tiles: range, after: int) -> None:
        """One gate's part of scopes 3 and 4."""
        f = self.plan.fragment(f"{what} {name}")
        source, target = self.gate[name], self.active[name]
        if what == "dequantise":
            source, target = self.raw[name], self.gate[name]
        x = self._vectors(f, source, tiles)
        if what == "dequantise":
            y = self._scaled(f, x, name, tiles)
        elif what == "sigmoid":
            y = _sigmoid(f, f.vxm("neg.fp32", x), LOG2E)
        else:
            y = f.vxm("tanh.fp32", x)
        f.write(y, target, tiles.start * self.sizes.batch)
        self._place(f, after)

    def _update(self, tiles: range, after: int = 0) -> None:
        """Scope 5: c' = f c + i g, h' = o tanh c'."""
        f = self.plan.fragment(f"state, tiles {tiles.start} to {tiles.stop - 1}")
        i, g, o, forget = (self._vectors(f, self.active[name], tiles) for name in GATES)
        kept = f.vxm("mul.fp32", forget, self._vectors(f, self.state, tiles))
        c = f.vxm("add.fp32", kept, f.vxm("mul.fp32", i, g))
        first = tiles.start * self.sizes.batch
        f.write(c, self.new_c, first)
        f.write(f.vxm("mul.fp32", f.vxm("tanh.fp32", c), o), self.new_h, first)
        self._place(f, after)

    def _place(self, f: Fragment, after: int) -> None:
        """Place a fragment that reads what the program wrote not before cycle `after`."""
        written = [op for op in f.ops if op.name == "read" and _is_written(op)]
        self.plan.place(f, bounds=dict.fromkeys(written, (after, "scope before it complete")))


def _is_written(op: Op) -> bool:
    return op.block is not None and op.block.times.written


def _sigmoid(f: Fragment, x: Value, log2e: float = -LOG2E) -> Value:
    """1 / (1 + 2^(x log2e)); the sign of x is in `log2e`, or was changed before."""
    power = f.vxm("exp2.fp32", f.vxm("mul.fp32", x, log2e))
    root = f.vxm("rsqrt.fp32", f.vxm("add.fp32", power, 1.0))
    return f.vxm("mul.fp32", root, root)
