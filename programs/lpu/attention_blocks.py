"""Attention whose queries and keys have scales of their own, one for each row of theirs.

Rows of a block share one (FlashAttention-3's block quantisation), which the program need not know.
A score is a sum times the scales of its query and its key. The query's is positive and does not
change which of its keys is largest, so it joins the factor of the exponent; the key's multiplies
scores before their maximum is sought, and again where keys are in lanes.
"""

from __future__ import annotations

from isa.program import Digit, Layout, Tensor
from programs.lpu.attention_plan import Attention
from programs.lpu.schedule import Block, Fragment, Place, Value
from programs.lpu.tiles import cdiv


class BlockAttention(Attention):
    """Inputs beside q, k and v: ``q.factors`` [heads, seq], ``k.factors`` [heads, kv], fp32."""

    def _place_factors(self) -> None:
        s, east = self.shape, self.pool["e"]
        self.value_scale = self._constant(
            "value.scale", "fp32", self.factors[0], b"", (1,), lanes=False, role="in"
        )
        quads = [self.factors[1], *([east.pop() for _ in range(4)] for _ in range(2))]
        queries, q_words = self._words(quads[0], s.queries, s.seq, "factors of queries")
        keys, k_words = self._words(quads[1], s.keys, s.kv, "factors of keys")
        self.q_words, self.k_words = queries, keys
        self.key_tiles = cdiv(s.kv, self.k_tile)
        lanes = self.arena.block(quads[2], 0, s.keys * self.key_tiles, "factors of keys in lanes")
        self.k_lanes = lanes
        digits = (
            Digit(0, 1, s.keys, addr=self.key_tiles * lanes.step),
            Digit(1, self.k_tile, self.key_tiles, addr=lanes.step),
        )
        k_lanes = Layout(tuple(quads[2]), lanes.base, digits, 1, 1, self.k_tile)
        self.tensors += [
            Tensor("q.factors", "fp32", (s.queries, s.seq), "in", (q_words,)),
            Tensor("k.factors", "fp32", (s.keys, s.kv), "in", (k_words, k_lanes)),
        ]

    def _words(self, slices: list[str], heads: int, rows: int, what: str) -> tuple[Block, Layout]:
        """One vector a row, its factor in every lane."""
        block = self.arena.block(slices, 0, heads * rows, what)
        digits = (Digit(0, 1, heads, addr=rows * block.step), Digit(1, 1, rows, addr=block.step))
        return block, Layout(tuple(slices), block.base, digits, None)

    def places_of_keys(self, head: int, first: int) -> list[Place]:
        return [(self.k_words, head // self.shape.group * self.shape.kv + first)]

    def places_of_rows(self, head: int, tile: int, j: int) -> list[Place]:
        keys = self.k_lanes, head // self.shape.group * self.key_tiles + j
        return [keys, (self.q_words, head * self.shape.seq + tile * self.q_tile)]

    def scale_keys(self, f: Fragment, scores: Value, head: int, first: int, count: int) -> Value:
        [(block, row)] = self.places_of_keys(head, first)
        return f.vxm("mul.fp32", scores, f.read(block, row, count))

    def scale_lanes(self, f: Fragment, scores: Value, head: int, j: int, n: int) -> Value:
        (block, tile), _ = self.places_of_rows(head, 0, j)
        return f.vxm("mul.fp32", scores, f.read(block, tile, n, step=0))

    def query_factor(self, f: Fragment, head: int, tile: int, n: int) -> Value:
        _, (block, row) = self.places_of_rows(head, tile, 0)
        return f.read(block, row, n)
