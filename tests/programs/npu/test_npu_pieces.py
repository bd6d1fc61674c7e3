"""Rows that do not fit into UB: softmax and norms pass them in pieces."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npu_rows import CHIPS, check, run, timed

from emulator.npu.chip import load
from isa.program import Program
from programs.kernel import KernelError
from programs.npu.pieces import shares
from programs.npu.rows import FLOATS
from programs.registry import kernels

NAMES = ("softmax", "rmsnorm", "layernorm")


def built(name: str, chip: str, dtype: str, rows: int, cols: int) -> Program:
    kernel = kernels("npu")[name]
    return kernel.build(CHIPS[chip], dtype, kernel.resolve({"rows": rows, "cols": cols}))


@cache
def longest(name: str, chip: str, dtype: str) -> int:
    """The most columns of a row that UB holds: beyond, tiles are not as wide as rows."""
    low, high = 64, 1 << 18
    while low + 1 < high:
        middle = (low + high) // 2
        whole = built(name, chip, dtype, 1, middle).meta["tile"] == f"1x{middle}"
        low, high = (middle, high) if whole else (low, middle)
    return low


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 17), more=st.integers(1, 9000), chip=st.sampled_from(["tiny", "roomy"]))
def test_any_length(name: str, dtype: str, rows: int, more: int, chip: str) -> None:
    check(name, chip, dtype, rows, longest(name, "tiny", dtype) + more)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "e4m3"])
@pytest.mark.parametrize("name", NAMES)
def test_around_the_limit(name: str, dtype: str) -> None:
    for chip in ("tiny", "950pr"):
        cols = longest(name, chip, dtype)
        assert f"1x{cols}" == built(name, chip, dtype, 3, cols).meta["tile"]
        for number in (cols, cols + 1):
            check(name, chip, dtype, 3, number)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("chip", "dtype", "rows", "cols"),
    [
        ("950pr", "fp32", 2, 50_000),
        ("950pr", "bf16", 1, 131_072),
        ("950dt", "fp32", 1, 262_144),
        ("910b", "fp16", 26, 50_001),  # rows of a sub-core each
        ("950pr", "bf16", 66, 65_700),  # a round of rows, and two that 32 sub-cores each share
        ("tiny", "fp32", 3, 70_000),  # more pieces than a register has lanes
    ],
)
def test_vocabularies(name: str, chip: str, dtype: str, rows: int, cols: int) -> None:
    check(name, chip, dtype, rows, cols)


def test_gains_are_those_of_their_columns() -> None:
    rng = np.random.default_rng(5)
    for rows, chip in ((1, "tiny"), (7, "tiny"), (7, "roomy")):
        given_ = {n: rng.standard_normal(4321).astype(np.float32) for n in ("gamma", "beta")}
        check("layernorm", chip, "bf16", rows, 4321, given_)
        check("rmsnorm", chip, "bf16", rows, 4321, {"gamma": given_["gamma"]})


@pytest.mark.parametrize("shift", [1e3, 1e5])
def test_layernorm_of_a_large_mean(shift: float) -> None:
    """Joining means loses nothing: no worse than the same rows whole, which a larger UB holds."""
    rng = np.random.default_rng(2)
    x = (rng.standard_normal((6, 12_001)) + shift).astype(np.float32)
    kernel = kernels("npu")["layernorm"]
    expected = kernel.reference(kernel.resolve({}, {"x": x}), {"x": x})["y"]
    whole, pieces = (
        np.abs(run("layernorm", chip, "fp32", {"x": x})[0] - expected).max()
        for chip in ("950pr", "tiny")
    )
    assert pieces <= whole


def test_layernorm_of_equal_numbers_is_zero() -> None:
    got, _ = run("layernorm", "tiny", "fp32", {"x": np.full((3, 5000), 0.1, np.float32)})
    assert (got == 0).all()


@pytest.mark.parametrize("rows", [1, 5])
def test_softmax_of_masked_columns(rows: int) -> None:
    """Pieces of -inf alone, before, between and behind others; a row of nothing else is NaN."""
    x = np.full((rows, 20_000), -np.inf, np.float32)
    for row in range(rows):
        x[row, 9_000 + row : 9_003 + row] = 1, 2, 3
    x[0, 19_999] = 3
    got, _ = run("softmax", "tiny", "fp32", {"x": x})
    kernel = kernels("npu")["softmax"]
    expected = kernel.reference(kernel.resolve({}, {"x": x}), {"x": x})["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=0)
    x[-1] = -np.inf
    got, _ = run("softmax", "tiny", "fp32", {"x": x})
    assert np.isnan(got[-1]).all()
    assert rows == 1 or np.isfinite(got[:-1]).all()


def test_softmax_of_huge_differences() -> None:
    x = np.zeros((2, 9_000), np.float32)
    x[:, 17], x[:, 8_000], x[1, 4_000] = -3e38, 3e38, 3e38
    got, _ = run("softmax", "tiny", "fp32", {"x": x})
    assert got[0, 8_000] == 1
    assert (got[1, [4_000, 8_000]] == 0.5).all()
    assert got.sum() == 2


# ---- how rows are shared out ---------------------------------------------------------------------


@given(rows=st.integers(1, 300), cols=st.integers(1, 1 << 20))
def test_shares_cover_every_column(rows: int, cols: int) -> None:
    chip = CHIPS["950dt"]
    made = shares(chip, rows, cols)
    assert [s.first for s in made] == [0, *(s.first + s.rows for s in made)][: len(made)]
    assert sum(s.rows for s in made) == rows
    for share in made:
        assert (share.team - 1) * share.columns < cols <= share.team * share.columns
        assert share.team == 1 or share.rows * share.team <= chip.vectors


def test_few_rows_are_shared() -> None:
    one, round_, more = (timed("softmax", rows=n, cols=131_072).cycles for n in (1, 64, 65))
    assert one < round_ / 10
    assert more < round_ + 2 * one


def test_gains_come_once_for_several_rows() -> None:
    """As many as L2 keeps between the passes, if the last round is no longer for it."""
    cases = [("roomy", 7, 2), ("roomy", 11, 3), ("roomy", 16, 4), ("roomy", 17, 4), ("tiny", 16, 1)]
    for chip, rows, at_once in cases:
        made = built("layernorm", chip, "bf16", rows, 4321)
        assert str(made.meta["tile"]).split("x")[0] == str(at_once)
    several = timed("layernorm", rows=256, cols=32_768)  # four at once
    gains = several.memory["l2"].read_bytes / (4 * 256 * 32_768) - 2  # beside x twice
    assert gains == pytest.approx(2 / 4, rel=0.1)


# ---- time ----------------------------------------------------------------------------------------


def test_long_rows_wait_for_memory() -> None:
    """Rows of 4 MiB on 64 sub-cores: L2 keeps nothing, so x passes twice and y once."""
    rows, cols = 128, 1 << 20
    result = timed("softmax", rows=rows, cols=cols)
    assert result.bound == "hbm"
    size = 4 * rows * cols
    memory = result.memory["hbm"]
    assert memory.read_bytes == pytest.approx(2 * size, rel=0.01)
    moved = memory.read_bytes + memory.write_bytes
    per_cycle = 1.6e12 / 1.65e9  # what HBM delivers
    assert 0.85 < moved / result.cycles / per_cycle < 1.0
    assert 0.9 < 3 * size / result.cycles / per_cycle < 1.2  # a part of y is still in L2


def test_l2_keeps_rows_between_the_passes() -> None:
    rows, cols = 128, 131_072
    result = timed("softmax", rows=rows, cols=cols)
    assert result.memory["hbm"].read_bytes == pytest.approx(4 * rows * cols, rel=0.01)
    assert 8 * rows * cols / result.cycles > 1.6e12 / 1.65e9


# ---- what is large or small otherwise ------------------------------------------------------------


def test_tensors_of_gigabytes() -> None:
    """Their addresses have more bits than an immediate operand."""
    for name in ("softmax", "gelu"):
        assert len(built(name, "950pr", "fp32", 8192, 131_072).tensors) == 2


def test_ub_without_room_for_a_piece() -> None:
    small = load("npu-tiny", {"vector.ub": "2 KiB"})
    kernel = kernels("npu")["layernorm"]
    message = r"64 columns of a row need [\d,]+ bytes of UB, it has 2,048"
    with pytest.raises(KernelError, match=message):
        kernel.build(small, "fp32", kernel.resolve({}))
