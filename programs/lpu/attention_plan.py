"""Attention on the LPU: exact softmax with the true row maximum, no division, no reduction.

There is no cross-lane reduction, so scores are made twice. Per head and tile of queries:

1. *maximum*: weights = the queries, keys stream; a score vector has queries in its lanes, and a
   running maximum over the vectors leaves every query's maximum in its lane.
2. *rows*, per tile of keys: weights = the keys, queries stream; a score vector has keys in its
   lanes. The SXM broadcasts the query's maximum, the VXM makes p = 2^((s - max) c), rounds it to
   the operand format, and p goes on to the other half of the chip, where weights = the values and
   one more output lane of ones, which yields the row sum. Key tiles accumulate in the plane.
3. *normalise*: the SXM broadcasts the sum, y = o * rsqrt(sum)^2.

Scores are made in the western planes, products with the values in the eastern ones. With one query
per head (decode), `programs.lpu.decode` finds the maximum with lane shifts instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from emulator.lpu.chip import LpuChip
from isa.program import Digit, Layout, Tensor
from isa.table import BYTES_OF
from programs.attention import P_FORMAT, P_SCALE
from programs.encoding import accumulator, is_block_scaled
from programs.kernel import KernelError
from programs.lpu.floor import FEED
from programs.lpu.schedule import Arena, Block, Fragment, Place, Run, Schedule, Value
from programs.lpu.tiles import Layouts, RowTiles, Shape3, WeightTiles, cdiv, operand_tensors

LOG2E = 1.4426950408889634

ONE_CODE = {
    "int8": 0x01, "e4m3": 0x38, "e5m2": 0x3C, "mxfp8": 0x38, "mxfp4": 0x02, "fp16": 0x3C00,
    "bf16": 0x3F80,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Sizes of one attention; `queries` and `keys` count heads over the whole batch."""

    queries: int
    keys: int
    seq: int
    kv: int
    dim: int
    causal: bool

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.queries // self.keys

    @property
    def offset(self) -> int:
        """Query i sees keys up to i + offset."""
        return self.kv - self.seq


class Attention:
    """One attention under construction: tensors in SRAM, then the schedule."""

    keys_stream = True  # past queries that are weights, to find the maxima

    def __init__(self, chip: LpuChip, dtype: str, shape: Shape, factored: bool = False) -> None:
        """`factored`: scores and values have scales of their own, as int8's always do."""
        self.chip, self.dtype, self.shape = chip, dtype, shape
        self.mode = chip.mode(dtype)
        need = 2 * FEED + 12
        if chip.mem.slices < need or chip.mxm.planes < 4:
            raise KernelError(
                f"attention needs {need} slices a side and two planes a side to feed weights;"
                f" {chip.name} has {chip.mem.slices} and {chip.mxm.planes // 2}"
            )
        self.arena = Arena(chip)
        self.integer = accumulator(dtype) == "int32"
        self.factored = factored or self.integer
        self.scaled = is_block_scaled(dtype)
        self.tensors: list[Tensor] = []
        west = tuple(range(0, chip.mxm.planes // 2, self.mode.planes))
        east = tuple(p + chip.mxm.planes // 2 for p in west)
        # With one plane (or pair) a side, both score passes share it.
        self.max_plane, self.row_plane = west[0], west[-1]
        self.value_planes = east
        top = chip.mem.slices
        self.feed = {
            (side, i): [f"{side}{s}" for s in range(top - FEED * (i + 1), top - FEED * i)]
            for side in "we" for i in (0, 1)
        }  # fmt: skip
        # What is left: west holds rows, east constants and scratch (its second feed too). The last
        # slice of each keeps the mask table.
        west_pool = [f"w{s}" for s in range(top - 2 * FEED)]
        east_pool = [f"e{s}" for s in range(top - FEED)]
        self.masks = {"w": west_pool.pop(), "e": east_pool.pop()}
        self.unit_slice = east_pool.pop()
        self.factors = [[east_pool.pop() for _ in range(4)] for _ in range(2)]
        self.pool = {"w": west_pool, "e": east_pool}
        self.q_tile = self._query_tile()
        self.k_tile = self.mode.k
        self._place_inputs()
        self._place_constants()
        self._place_scratch()

    def _query_tile(self) -> int:
        most = min(self.chip.mxm.acc_rows, self.mode.n)
        tiles = cdiv(self.shape.seq, most)
        return min(most, cdiv(cdiv(self.shape.seq, tiles), FEED) * FEED)

    # ---- where tensors lie -----------------------------------------------------------------

    def _place_inputs(self) -> None:
        s, lanes, west = self.shape, self.mode.k, self.pool["w"]
        half = len(west) // 2
        feeds, eastern = ([self.feed[side, i] for i in (0, 1)] for side in "we")
        q = Shape3(s.queries, s.seq, s.dim, self.q_tile, lanes)
        k = Shape3(s.keys, s.kv, s.dim, self.k_tile, lanes)
        v = Shape3(s.keys, s.dim, s.kv, min(self.mode.n, s.dim), self.k_tile)
        self.q_rows = RowTiles(self.arena, west[:half], self.dtype, q, "q", banks=(0, 1))
        of_q, of_k = [self.q_rows.layouts()], []
        if self.keys_stream:
            self.k_rows = RowTiles(self.arena, west[half:], self.dtype, k, "k", banks=(0, 1))
            of_k.append(self.k_rows.layouts())
            self.q_weights = WeightTiles(self.arena, feeds, self.dtype, q, 1, "q")
            of_q.append(self.q_weights.layouts())
        self.k_weights = WeightTiles(self.arena, feeds[::-1], self.dtype, k, 1, "k")
        self.v_weights = WeightTiles(self.arena, eastern, self.dtype, v, 2, "v")
        of_k.append(self.k_weights.layouts())
        self._operand("q", (s.queries, s.seq, s.dim), 2, of_q)
        self._operand("k", (s.keys, s.kv, s.dim), 2, of_k)
        self._operand("v", (s.keys, s.kv, s.dim), 1, [self.v_weights.layouts()])

    def _operand(self, name: str, shape: tuple[int, ...], axis: int, layouts: Layouts) -> None:
        self.tensors += operand_tensors(name, self.dtype, shape, axis, layouts)

    def _constant(self, name: str, dtype: str, slices: list[str], data: bytes,
                  shape: tuple[int, ...], *, lanes: bool,
                  role: str = "const") -> Block:  # fmt: skip
        """A tensor [rows, lanes] or (lanes False) [rows], every lane the same; one word a row."""
        width = BYTES_OF[dtype]
        block = self.arena.block(slices, 0, shape[0], name)
        digits = (Digit(0, 1, shape[0], addr=block.step),)
        layout = Layout(tuple(slices), block.base, digits, 1 if lanes else None, 1,
                        self.chip.lanes if lanes else 1)  # fmt: skip
        assert len(slices) % width == 0
        copies = [layout] if len(slices) == width else [
            Layout(tuple(slices[i : i + width]), block.base, digits, layout.lane_axis, 1,
                   layout.lane_mod) for i in range(0, len(slices), width)
        ]  # fmt: skip
        stored = None if role == "in" else data
        self.tensors.append(Tensor(name, dtype, shape, role, tuple(copies), data=stored))
        return block

    def _place_constants(self) -> None:
        lanes = self.chip.lanes
        one = ONE_CODE[self.dtype].to_bytes(BYTES_OF[self.dtype], "little")
        # The ones stand beside v in all 16 feeding slices: head_dim decides which stream is theirs.
        self.ones = self._constant("ones", self.dtype, self.feed["e", 0], one, (1,), lanes=False)
        # Row x of `step` is 1 in the first x lanes: ragged and causal edges.
        table = np.tri(lanes + 1, lanes, -1, dtype=np.uint8).tobytes()
        self.step = {
            side: self._constant(f"step.{side}", "uint8", [self.masks[side]], table,
                                 (lanes + 1, lanes), lanes=True) for side in "we"
        }  # fmt: skip
        if self.scaled:
            # Scale 1: beside p in the pool, beside the ones where weights are loaded from.
            self.unit = self._constant(
                "unit", "e8m0", [self.unit_slice], b"\x7f", (1,), lanes=False
            )
            self.unit_weights = self._constant(
                "unit.weights", "e8m0", self.feed["e", 0], b"\x7f", (1,), lanes=False
            )
        if self.factored:
            self._place_factors()

    def _place_factors(self) -> None:
        """What scores are multiplied with before they become powers, and rows at the end."""
        self.score_scale, self.value_scale = (
            self._constant(name, "fp32", slices, b"", (1,), lanes=False, role="in")
            for name, slices in zip(("score.scale", "value.scale"), self.factors, strict=True)
        )

    def _place_scratch(self) -> None:
        """A ring of buffers of each kind, so that an item need not wait until the one before last
        is normalised. Neighbours lie in different banks: one is written while one is read."""
        east = self.pool["e"]
        quads = [east[i : i + 4] for i in range(0, len(east) - 3, 4)]
        self.col_tiles = cdiv(self.shape.dim + 1, self.mode.n)
        kinds = 3 + self.col_tiles
        sets = max(1, min(2, len(quads) // kinds))
        self.buffers = 2 * sets

        def ring(count: int, kind: int, what: str) -> list[Block]:
            return [
                self.arena.block(quads[(kind * sets + i) % len(quads)], bank, count, what)
                for i in range(sets) for bank in (0, 1)
            ]  # fmt: skip

        self.maxima = ring(1, 0, "row maxima")
        self.parts = ring(self._max_chunks(), 1, "row maxima of parts")
        # Rows and sums are read in the same cycles, so the tile with the sums is stored twice.
        self.sums = ring(self.q_tile, 2, "row sums")
        self.raw = [ring(self.q_tile, 3 + c, "rows") for c in range(self.col_tiles)]
        self._place_output()

    def _place_output(self) -> None:
        s = self.shape
        names = [*self.feed["e", 0], *self.feed["w", 0], *self.feed["w", 1]]
        quads = [names[i : i + 4] for i in range(0, len(names), 4)]
        by_head = min(s.queries, len(quads))
        by_row = min(cdiv(s.seq, self.q_tile), len(quads) // by_head)
        used = [n for quad in quads[: by_head * by_row] for n in quad]
        per_head = cdiv(cdiv(s.seq, self.q_tile), by_row) * self.q_tile
        self.out = self.arena.block(used, 1, cdiv(s.queries, by_head) * per_head, "output")
        step = self.out.step
        self.out_place = (by_head, by_row, per_head)
        layout = Layout(tuple(used), self.out.base, (
            Digit(0, 1, by_head, slice=4 * by_row),
            Digit(0, by_head, cdiv(s.queries, by_head), addr=per_head * step),
            Digit(1, self.q_tile, by_row, slice=4),
            Digit(1, self.q_tile * by_row, per_head // self.q_tile, addr=self.q_tile * step),
            Digit(1, 1, self.q_tile, addr=step),
        ), 2, 1, s.dim)  # fmt: skip
        self.tensors.append(Tensor("o", "fp32", (s.queries, s.seq, s.dim), "out", (layout,)))

    def _output(self, head: int, tile: int) -> tuple[Block, int]:
        by_head, by_row, per_head = self.out_place
        at = (head % by_head * by_row + tile % by_row) * 4
        return self.out.on(
            *range(at, at + 4)
        ), head // by_head * per_head + tile // by_row * self.q_tile

    # ---- the schedule ----------------------------------------------------------------------

    def schedule(self) -> Schedule:
        """Place everything: maxima run one item ahead of rows, so that planes stay busy."""
        s = self.shape
        self.plan = Schedule(self.chip, f"attention {s} {self.dtype}")
        items = [(h, t) for h in range(s.queries) for t in range(cdiv(s.seq, self.q_tile))]
        self._maximum(0, *items[0])
        for i, item in enumerate(items):
            if i + 1 < len(items):
                self._maximum(i + 1, *items[i + 1])
            self._rows(i, *item)
        return self.plan

    def _queries(self, tile: int) -> int:
        return min(self.q_tile, self.shape.seq - tile * self.q_tile)

    def _visible(self, tile: int) -> int:
        """Keys that some query of the tile sees."""
        s = self.shape
        if not s.causal:
            return s.kv
        return tile * self.q_tile + self._queries(tile) + s.offset

    def _load(self, f_label: str, plane: int, weights: WeightTiles, head: int, tile: int, p: int,
              lanes: int, extra: Block | None = None) -> None:  # fmt: skip
        rows = weights.shape.rows_of(tile) + (extra is not None)
        at, place = weights.place(head, tile, p)
        key = (plane, at, rows, lanes, extra is not None)
        f = self.plan.alike(("load", key), f"load {f_label}", [place])
        if f.empty:
            value = weights.value(f, head, tile, p, extra)
            f.load_weights(plane, self.dtype, value, rows, lanes)
        self.plan.planes.load(f)
        if self.scaled:
            at, place = weights.place_scales(head, tile, p)
            f = self.plan.alike(("scales", plane, at, lanes), f"scales {f_label}", [place])
            if f.empty:
                f.load_scales(plane, self.dtype, weights.scale_value(f, head, tile, p))
            self.plan.planes.load(f)
        self.plan.planes.install(plane)

    # 1. the maximum of every query, queries in lanes

    def _max_chunks(self) -> int:
        passes = cdiv(self.shape.dim, self.mode.k)
        return 1 if passes == 1 else cdiv(self.shape.kv, self.chip.mxm.acc_rows)

    def _maximum(self, item: int, head: int, tile: int) -> None:
        s, plane = self.shape, self.max_plane
        passes, chunks = cdiv(s.dim, self.mode.k), self._max_chunks()
        visible = self._visible(tile)
        size = visible if chunks == 1 else self.chip.mxm.acc_rows
        maxima, parts = self.maxima[item % self.buffers], self.parts[item % self.buffers]
        label = f"q, head {head} tile {tile}"
        starts = list(range(0, visible, size))
        for c, first in enumerate(starts):
            count = min(size, visible - first)
            for p in range(passes):
                lanes = min(self.mode.k, s.dim - p * self.mode.k)
                self._load(label, plane, self.q_weights, head, tile, p, lanes)
                emit = p == passes - 1
                of_k, at = self.k_rows.place(head // s.group, p, first, count)
                tops = [(maxima, 0) if len(starts) == 1 else (parts, c)] if emit else []
                f = self.plan.alike(
                    ("maximum", plane, p == 0, emit, of_k, self._hidden(tile, first, count)),
                    f"maximum, head {head} tile {tile}",
                    [*at, *tops, *self.places_of_keys(head, first)],
                )
                if f.empty:
                    x = self.k_rows.value(f, head // s.group, p, first, count)
                    out = f.matmul(plane, self.dtype, x, start=p == 0, emit=emit)
                    if out is not None:
                        out = self.scale_keys(f, out, head, first, count)
                        top = self._running(f, self._mask_keys(f, out, tile, first, count))
                        f.write(top, *tops[0])
                self.plan.planes.run(f)
        if len(starts) > 1:
            f = self.plan.fragment(f"maximum of parts, head {head} tile {tile}")
            f.write(f.running("runmax.fp32", f.read(parts, 0, len(starts))), maxima)
            self.plan.place(f)

    def _running(self, f: Fragment, scores: Value) -> Value:
        if not self.integer:
            return f.running("runmax.fp32", scores)
        return f.vxm("cast.int32.fp32", f.running("runmax.int32", scores))

    def _mask_keys(self, f: Fragment, scores: Value, tile: int, first: int, count: int) -> Value:
        """Causal edge with queries in lanes: key j is seen by lanes from j - offset - q0 on."""
        hidden = self._hidden(tile, first, count)
        if hidden is None:
            return scores
        mask = f.read_runs([_ramp(self.step["w"], hidden, count, self.chip.lanes)], count)
        kind = "int32" if self.integer else "fp32"
        lowest = -(2**31) if self.integer else -math.inf
        return f.vxm(f"select.{kind}", mask, lowest, scores)

    def _hidden(self, tile: int, first: int, count: int) -> int | None:
        """Lanes that do not see key `first`, the next ones one more each; None: all see all."""
        hidden = first - self.shape.offset - tile * self.q_tile
        return hidden if self.shape.causal and hidden + count > 1 else None

    # 2. rows of p, straight into the product with the values

    def _rows(self, item: int, head: int, tile: int) -> None:
        visible = self._visible(tile)
        tiles = cdiv(visible, self.k_tile)
        group = len(self.value_planes)
        # As many column tiles at once as there are planes to hold them; more repeat the scores.
        for col in range(0, self.col_tiles, group):
            cols = range(col, min(col + group, self.col_tiles))
            planes = {c: self.value_planes[(c + item) % group] for c in cols}
            for j in range(tiles):
                self._row_tile(item, head, tile, j, planes, last=j == tiles - 1)
        self._normalise(item, head, tile)

    def _load_values(self, head: int, j: int, col: int, plane: int) -> None:
        s, weights = self.shape, self.v_weights
        lanes = min(self.k_tile, s.kv - j * self.k_tile)
        label = f"v, head {head} keys {j} columns {col}"
        if col < weights.shape.tiles:
            full = weights.shape.rows_of(col)
            last = col == self.col_tiles - 1 and full < self.mode.n
            self._load(label, plane, weights, head, col, j, lanes, self.ones if last else None)
            return
        f = self.plan.alike(("ones", plane, lanes), f"load ones {label}", [])
        if f.empty:
            sources = [[Run(self.ones.on(i), 0, 1)] for i in range(BYTES_OF[self.dtype])]
            value = f.read_runs([*sources, *[[]] * (FEED - len(sources))])
            f.load_weights(plane, self.dtype, value, 1, lanes)
        self.plan.planes.load(f)
        if self.scaled:
            f = self.plan.alike(("scales of ones", plane, lanes), "scales of ones", [])
            if f.empty:
                blocks = [[Run(self.unit_weights.on(b), 0, 1)] for b in range(cdiv(lanes, 32))]
                value = f.read_runs([*blocks, *[[]] * (10 - len(blocks))])
                f.load_scales(plane, self.dtype, value)
            self.plan.planes.load(f)
        self.plan.planes.install(plane)

    def _row_tile(self, item: int, head: int, tile: int, j: int, planes: Mapping[int, int],
                  last: bool) -> None:  # fmt: skip
        s = self.shape
        n, first = self._queries(tile), tile * self.q_tile
        passes = cdiv(s.dim, self.mode.k)
        for p in range(passes):
            lanes = min(self.mode.k, s.dim - p * self.mode.k)
            label = f"k, head {head} keys {j}"
            self._load(label, self.row_plane, self.k_weights, head // s.group, j, p, lanes)
            emit = p == passes - 1
            if emit:
                for col, plane in planes.items():
                    self._load_values(head // s.group, j, col, plane)
            of_q, at = self.q_rows.place(head, p, first, n)
            seen = self._seen(tile, j)
            key = ("rows", p == 0, emit, of_q, tuple(planes.items()), j == 0, last, seen)
            if emit:
                at.append((self.maxima[item % self.buffers], 0))
                at += self.places_of_rows(head, tile, j)
                at += self._sums_of(item, planes) if last else []
            f = self.plan.alike(key, f"rows, head {head} tile {tile} keys {j}", at)
            if f.empty:
                x = self.q_rows.value(f, head, p, first, n)
                scores = f.matmul(self.row_plane, self.dtype, x, start=p == 0, emit=emit)
                if scores is not None:
                    self._powers(f, scores, item, head, tile, j, planes, last)
            self.plan.planes.run(f)

    def _powers(self, f: Fragment, scores: Value, item: int, head: int, tile: int, j: int,
                planes: Mapping[int, int], last: bool) -> None:  # fmt: skip
        n = self._queries(tile)
        if self.integer:
            scores = f.vxm("cast.int32.fp32", scores)
        scores = self.scale_lanes(f, scores, head, j, n)
        seen = self._seen(tile, j)
        mask = None
        if seen is not None:
            mask = f.read_runs([_ramp(self.step["e"], seen, n, self.chip.lanes)], n)
        probabilities = self.exponential(f, scores, mask, self._maximum_rows(f, item, n),
                                         self.query_factor(f, head, tile, n))  # fmt: skip
        self._accumulate(f, probabilities, item, planes, start=j == 0, emit=last)

    def _accumulate(self, f: Fragment, p: Value, item: int, planes: Mapping[int, int], *,
                    start: bool, emit: bool) -> None:  # fmt: skip
        for col, plane in planes.items():
            out = f.matmul(plane, self.dtype, p, start=start, emit=emit)
            if out is None:
                continue
            for block, first in self._sums_of(item, [col]):
                f.write(out, block, first)

    def _sums_of(self, item: int, cols: Iterable[int]) -> list[Place]:
        """Where products go: all columns to `raw`, those with the row sums to `sums` too."""
        at, places = item % self.buffers, list[Place]()
        for col in cols:
            places.append((self.raw[col][at], 0))
            if col == self.shape.dim // self.mode.n:
                places.append((self.sums[at], 0))
        return places

    def _maximum_rows(self, f: Fragment, item: int, n: int) -> Value:
        """One vector per query, its maximum in every lane."""
        top = f.read(self.maxima[item % self.buffers], 0, n, step=0)
        return f.sxm("broadcast", "e", top, lane=0, stride=1)

    def _seen(self, tile: int, j: int) -> int | None:
        """Lanes of key tile j that the tile's first query sees, the next ones one more each.

        None: all see all.
        """
        seen = tile * self.q_tile + self.shape.offset + 1 - j * self.k_tile
        return seen if self.shape.causal and seen < self.k_tile else None

    def places_of_keys(self, head: int, first: int) -> list[Place]:
        """What `scale_keys` reads."""
        return []

    def places_of_rows(self, head: int, tile: int, j: int) -> list[Place]:
        """What `scale_lanes` and `query_factor` read."""
        return []

    def scale_keys(self, f: Fragment, scores: Value, head: int, first: int, count: int) -> Value:
        """Scores of keys that have different scales, one key a vector."""
        return scores

    def scale_lanes(self, f: Fragment, scores: Value, head: int, j: int, n: int) -> Value:
        """The same with keys in lanes."""
        return scores

    def query_factor(self, f: Fragment, head: int, tile: int, n: int) -> Value | float:
        """What turns differences of scores into exponents of 2, for `n` queries."""
        if not self.factored:
            return LOG2E / math.sqrt(self.shape.dim)
        return f.read(self.score_scale, 0, n, step=0)

    def exponential(
        self, f: Fragment, scores: Value, mask: Value | None, top: Value, factor: Value | float
    ) -> Value:
        """p = round(scale * 2^((s - max) c)) of fp32 scores; a value ready to be activations."""
        if mask is not None:
            scores = f.vxm("select.fp32", mask, scores, -math.inf)
        below = f.vxm("sub.fp32", scores, top)
        p = f.vxm("exp2.fp32", f.vxm("mul.fp32", below, factor))
        if P_SCALE[self.dtype] != 1.0:
            p = f.vxm("mul.fp32", p, P_SCALE[self.dtype])
        p = f.vxm(f"cast.fp32.{P_FORMAT.get(self.dtype, self.dtype)}", p, sat=True)
        if self.scaled:
            p = f.join(p, f.read(self.unit, 0, p.mask.bit_length(), step=0))
        return p

    # 3. division by the row sum

    def _normalise(self, item: int, head: int, tile: int) -> None:
        n, s = self._queries(tile), self.shape
        # The columns are at most one tile; the sum is a lane of the same tile or of the next.
        block, first = self._output(head, tile)
        at = item % self.buffers
        self.divide(f"normalise, head {head} tile {tile}", self.raw[0][at], self.sums[at],
                    s.dim % self.mode.n, 0, n, block, first)  # fmt: skip

    def divide(self, label: str, rows: Block, sums: Block, lane: int, start: int, n: int,
               block: Block, first: int) -> None:  # fmt: skip
        """y = rows * rsqrt(sum)^2 (times the scale of v), the sum in one lane of `sums`."""
        key = ("normalise", lane, n)
        f = self.plan.alike(key, label, [(rows, start), (sums, start), (block, first)])
        if f.empty:
            total = f.sxm("broadcast", "e", f.read(sums, start, n), lane=lane)
            y = f.read(rows, start, n)
            if self.integer:
                total, y = f.vxm("cast.int32.fp32", total), f.vxm("cast.int32.fp32", y)
            root = f.vxm("rsqrt.fp32", total)
            y = f.vxm("mul.fp32", y, f.vxm("mul.fp32", root, root))
            if self.factored:
                y = f.vxm("mul.fp32", y, f.read(self.value_scale, 0, n, step=0))
            f.write(y, block, first)
        self.plan.place(f)


def _ramp(table: Block, first: int, count: int, top: int) -> list[Run]:
    """`count` reads of table rows first, first + 1, ... clamped to 0..top."""
    low = min(count, max(0, -first))
    high = min(count - low, max(0, first + count - 1 - top))
    runs = [
        Run(table, 0, low, 0),
        Run(table, first + low, count - low - high),
        Run(table, top, high, 0),
    ]
    return [run for run in runs if run.count > 0]
