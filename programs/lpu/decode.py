"""Attention with one query per head: the keys are the weights and pass through once.

Per key head and its group of query rows:

1. *scores*: weights = a tile of keys, the group's rows run through; scores, keys in lanes, go to
   SRAM. Lanes beyond the last key become -inf.
2. *maximum*: a running maximum over the tiles, then rounds of wrapping lane shift and maximum
   (1, 2, 4, ... lanes) until every lane holds the row's maximum. Rounds of different heads overlap.
3. *rows*: p = 2^((s - max) c) from the stored scores, straight into the product with the values.
4. *normalise* as in `programs.lpu.attention_plan`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from programs.lpu.attention_plan import Attention
from programs.lpu.schedule import Fragment, Run, Schedule, Value, lie
from programs.lpu.tiles import cdiv


def shift_rounds(lanes: int) -> list[int]:
    """Lane shifts after which a maximum has seen every lane.

    >>> shift_rounds(320)
    [1, 2, 4, 8, 16, 32, 64, 128, 64]
    """
    shifts, window = [], 1
    while window < lanes:
        shifts.append(min(window, lanes - window))
        window *= 2
    return shifts


class DecodeAttention(Attention):
    """One query per head against a cache of keys and values."""

    keys_stream = False

    def _query_tile(self) -> int:
        return 1

    def _place_scratch(self) -> None:
        s, east = self.shape, self.pool["e"]
        self.key_tiles = cdiv(s.kv, self.k_tile)
        rounds = len(shift_rounds(self.chip.lanes))
        # All scratch is on the eastern side, where p is made. Scores and maxima are read in the
        # same cycles, and so are the shifted and the direct maximum, of which there are copies.
        first, second, *quads = [east[i : i + 4] for i in range(0, len(east) - 3, 4)]
        self.scores = [
            self.arena.balanced(quads, 1, self.key_tiles * s.group, "scores") for _ in range(s.keys)
        ]
        self.tops = [
            [
                [self.arena.block(quad, 1, s.group, "row maxima") for quad in (first, second)]
                for _ in range(rounds + 1)
            ]
            for _ in range(s.keys)
        ]
        self.col_tiles = cdiv(s.dim + 1, self.mode.n)
        self.rows = [
            [self.arena.balanced(quads, 1, s.group, "unnormalised rows")
             for _ in range(self.col_tiles)]
            for _ in range(s.keys)
        ]  # fmt: skip
        self._place_output()

    def schedule(self) -> Schedule:
        """Stage by stage over all heads, so that one head's latencies hide under the others."""
        s = self.shape
        self.plan = Schedule(self.chip, f"decode attention {s} {self.dtype}")
        for head in range(s.keys):
            self._scores(head)
        for head in range(s.keys):
            self._tile_maximum(head)
        for i, shift in enumerate(shift_rounds(self.chip.lanes)):
            for head in range(s.keys):
                self._shift_maximum(head, i, shift)
        for head in range(s.keys):
            self._products(head)
        for head in range(s.keys):
            self._divide(head)
        return self.plan

    def _query_rows(self, head: int, p: int) -> list[list[Run]]:
        """The group's rows: one row each of `group` heads, one after another."""
        parts = [self.q_rows.runs(h, p, 0, 1) for h in self._rows_of(head)]
        return [[run for part in parts for run in part[i]] for i in range(self.q_rows.streams)]

    def _scores(self, head: int) -> None:
        s = self.shape
        passes = cdiv(s.dim, self.mode.k)
        planes = sorted({self.max_plane, self.row_plane})
        for j in range(self.key_tiles):
            plane = planes[j % len(planes)]
            for p in range(passes):
                lanes = min(self.mode.k, s.dim - p * self.mode.k)
                label = f"k, head {head} keys {j}"
                self._load(label, plane, self.k_weights, head, j, p, lanes)
                rows, emit = self._query_rows(head, p), p == passes - 1
                of_q, at = lie(rows)
                if emit:
                    at.append((self.scores[head], j * s.group))
                keys = min(self.k_tile, s.kv - j * self.k_tile)
                key = ("scores", plane, of_q, p == 0, emit, keys)
                f = self.plan.alike(key, f"scores, head {head} keys {j}", at)
                if f.empty:
                    x = f.read_runs(rows, s.group)
                    out = f.matmul(plane, self.dtype, x, start=p == 0, emit=emit)
                    if out is not None:
                        self._store(f, out, head, j)
                self.plan.planes.run(f)

    def _store(self, f: Fragment, scores: Value, head: int, j: int) -> None:
        s = self.shape
        keys = min(self.k_tile, s.kv - j * self.k_tile)
        if self.integer:
            scores = f.vxm("cast.int32.fp32", scores)
        if keys < self.chip.lanes:
            mask = f.read(self.step["w"], keys, s.group, step=0)
            scores = f.vxm("select.fp32", mask, scores, -math.inf)
        elif not self.integer:
            scores = f.vxm("mov.fp32", scores)
        f.write(scores, self.scores[head], j * s.group)

    def _tile_maximum(self, head: int) -> None:
        group = self.shape.group
        for row in range(group):
            places = [(block, row) for block in (self.scores[head], *self.tops[head][0])]
            label = f"maximum over tiles, head {head} row {row}"
            f = self.plan.alike("maximum over tiles", label, places)
            if f.empty:
                x = f.read(self.scores[head], row, self.key_tiles, step=group)
                top = f.running("runmax.fp32", x)
                for copy in self.tops[head][0]:
                    f.write(top, copy, row)
            self.plan.place(f)

    def _shift_maximum(self, head: int, i: int, shift: int) -> None:
        group, top = self.shape.group, self.tops[head]
        places = [(block, 0) for block in (*top[i], *top[i + 1])]
        label = f"maximum over {shift} lanes, head {head}"
        f = self.plan.alike(("maximum over lanes", shift), label, places)
        if f.empty:
            moved = f.sxm("shift", "e", f.read(top[i][0], 0, group), amount=shift, wrap=True)
            both = f.vxm("max.fp32", f.read(top[i][1], 0, group), moved)
            for copy in top[i + 1]:
                f.write(both, copy)
        self.plan.place(f)

    def _products(self, head: int) -> None:
        group = len(self.value_planes)
        for col in range(0, self.col_tiles, group):
            cols = range(col, min(col + group, self.col_tiles))
            planes = {c: self.value_planes[(c + head) % group] for c in cols}
            for j in range(self.key_tiles):
                for c, plane in planes.items():
                    self._load_values(head, j, c, plane)
                self._product(head, j, planes)

    def _product(self, head: int, j: int, planes: dict[int, int]) -> None:
        rows, last = self.shape.group, j == self.key_tiles - 1
        places = [(self.scores[head], j * rows), (self.tops[head][-1][0], 0)]
        if last:
            places += [(self.rows[head][col], 0) for col in planes]
        key = ("rows", tuple(planes.items()), j == 0, last)
        f = self.plan.alike(key, f"rows, head {head} keys {j}", places)
        if f.empty:
            scores = f.read(self.scores[head], j * rows, rows)
            top = f.read(self.tops[head][-1][0], 0, rows)
            p = self.exponential(f, scores, None, top, self.query_factor(f, head, 0, rows))
            for col, plane in planes.items():
                out = f.matmul(plane, self.dtype, p, start=j == 0, emit=last)
                if out is not None:
                    f.write(out, self.rows[head][col])
        self.plan.planes.run(f)

    def _divide(self, head: int) -> None:
        s = self.shape
        col, lane = divmod(s.dim, self.mode.n)
        raw = self.rows[head]
        for row, query in enumerate(self._rows_of(head)):
            block, first = self._output(query, 0)
            label = f"normalise, head {query}"
            self.divide(label, raw[0], raw[col], lane, row, 1, block, first)

    def _rows_of(self, head: int) -> Iterator[int]:
        return iter(range(head * self.shape.group, (head + 1) * self.shape.group))
