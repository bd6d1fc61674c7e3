"""Sums that arrive in pieces equal the same model over the whole of k."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.numerics import decode64, quantize_blocks, round_to
from emulator.numerics.accumulate import (
    Exact,
    ExactChunk,
    Fp32Seq,
    Fp32Tree,
    Int32,
    Promote,
    TruncAlign,
    accumulate,
    model_text,
    parse_model,
)
from emulator.numerics.operands import operand_values
from emulator.numerics.running import Accumulation, Running, choose

MODELS = [Exact(), ExactChunk(7), Fp32Seq(), Fp32Tree(6), TruncAlign(8, 13), TruncAlign(5, 9, 23),
          Promote(12, TruncAlign(8, 13)), Promote(5, Exact())]  # fmt: skip
K = 40


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.lists(st.integers(0, K), max_size=6),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_pieces_make_the_whole(rule, cuts: list[int], seed: int, looked_at: bool) -> None:  # type: ignore[no-untyped-def]
    """Whatever the cuts, and whether or not sums are read in between."""
    rng = np.random.default_rng(seed)
    a = round_to(rng.standard_normal((3, K)), "bf16").astype(np.float64)
    b = round_to(rng.standard_normal((K, 4)), "bf16").astype(np.float64)
    first = rng.standard_normal((3, 4)).astype(np.float32)
    sums = Running(Accumulation(floats=rule))
    sums.start("x", first)
    edges = [0, *sorted(cuts), K]
    for low, high in pairwise(edges):
        sums.add("x", a[:, low:high].copy(), b[low:high].copy())
        if looked_at:
            so_far = accumulate(a[:, :high], b[:high], rule, first)
            assert sums.value("x").tobytes() == so_far.tobytes()
    assert sums.value("x").tobytes() == accumulate(a, b, rule, first).tobytes()


@pytest.mark.parametrize("rule", [Int32(True, 6), Int32(False), Int32(False, 5)], ids=str)
def test_pieces_of_integers(rule: Int32) -> None:
    a, b = np.full((1, 16), 2.0**12), np.full((16, 1), 2.0**17)
    b[9:] *= -1
    sums = Running(Accumulation(integers=rule))
    sums.start(0, np.zeros((1, 1), np.int32))
    for k in range(0, 16, 4):
        sums.add(0, a[:, k : k + 4], b[k : k + 4])
    assert sums.value(0).tolist() == accumulate(a, b, rule).tolist()


def test_blocks_are_kept_apart_and_start_anew() -> None:
    sums = Running(Accumulation(floats=Fp32Seq()))
    one = np.ones((1, 1))
    for key in "ab":
        sums.start(key, np.zeros((1, 1), np.float32))
        sums.add(key, one, one)
    sums.add("a", 2 * one, one)
    assert (sums.value("a")[0, 0], sums.value("b")[0, 0]) == (3, 1)
    sums.start("a", np.full((1, 1), 9, np.float32))
    assert sums.value("a")[0, 0] == 9
    assert sums.holds("a", np.full((1, 1), 9, np.float32))
    assert not sums.holds("a", np.full((1, 1), 8, np.float32))
    assert not sums.holds("c", np.full((1, 1), 9, np.float32))


def test_pieces_may_have_fewer_columns() -> None:
    sums = Running(Accumulation(floats=Exact()))
    sums.start(0, np.full((1, 4), 5, np.float32))
    sums.add(0, np.ones((1, 2)), np.ones((2, 2)))
    sums.add(0, np.ones((1, 1)), np.ones((1, 3)))
    assert sums.value(0).tolist() == [[8, 8, 6, 5]]


def test_the_chips_own_way_is_no_model() -> None:
    assert not choose(None, "exact_chunk", "int32")
    assert choose("exact_chunk(320)", "exact_chunk", "int32").floats == ExactChunk(320)
    chosen = choose("int32_wrap", "fp32_seq", "int32")
    assert (chosen.floats, chosen.integers) == (Fp32Seq(), Int32(saturate=False))
    with pytest.raises(ValueError, match="the wrong way round"):
        choose(None, "int32", "exact")


@pytest.mark.parametrize("rule", [*MODELS, Int32(), Int32(False, 4), ExactChunk(),
                                  TruncAlign(3, 4, -1, True)], ids=str)  # fmt: skip
def test_texts_are_read_back(rule) -> None:  # type: ignore[no-untyped-def]
    assert parse_model(model_text(rule)) == rule


def test_operands_of_blocks() -> None:
    x = np.random.default_rng(1).standard_normal((70, 6)).astype(np.float32)
    for axis in (0, 1):
        blocks = quantize_blocks(x, "mxfp4", axis)
        values = operand_values(blocks.codes, "mxfp4", blocks.scales, axis)
        assert np.array_equal(values, blocks.values().astype(np.float64))
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(operand_values(codes, "e5m2"), decode64(codes, "e5m2"), equal_nan=True)
