"""Weight passes as products of rows: every micro-kernel and arithmetic against the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.numerics import _core, decode64
from tests.emulator.numerics.test_numerics_chunks import (
    FLOATS,
    KERNELS,
    draw,
    kernel,
    number,
    same,
)

__all__ = ["kernel"]  # a fixture


def product(
    dtype: str, a: Any, b: Any, k: int, acc: Any, start: bool,
    scales: tuple[Any, Any] = (None, None),
) -> Any:  # fmt: skip
    """acc = or += the first k elements of rows a times those of rows b."""
    out = acc.copy()
    codes = [np.ascontiguousarray(x).view(np.uint8) for x in (a, b)]
    _core.multiply_by_rows(
        number(dtype), codes[0], scales[0], codes[1], scales[1], k, out.view(np.uint8), start
    )
    return out


def wanted(a: Any, b: Any, acc: Any, start: bool) -> Any:
    """One exact sum of float64 values, added in float32."""
    with np.errstate(all="ignore"):
        part = _core.exact_dot_wide(a, np.ascontiguousarray(b.T))
        total = part if start else acc + part
    total[np.isnan(total)] = np.nan
    return total


@pytest.mark.parametrize("kind", ["normal", "ties", "spread", "any"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats(kernel: int, dtype: str, kind: str) -> None:
    rng = np.random.default_rng([FLOATS.index(dtype), len(kind)])
    for m, n, k in ((1, 1, 1), (3, 50, 33), (5, 7, 160), (17, 26, 90)):
        a, b = draw(dtype, (m, k + 3), kind, rng), draw(dtype, (n, k + 3), kind, rng)
        acc = rng.standard_normal((m, n)).astype(np.float32)
        left, right = (decode64(x[:, :k], dtype) for x in (a, b))
        for start in (False, True):
            want = wanted(left, right, acc, start)
            assert same(product(dtype, a, b, k, acc, start), want)


def test_a_sum_that_starts_may_be_minus_zero(kernel: int) -> None:
    """What rounds to -0 stays that, unless it is added to +0."""
    a, b = np.full((6, 1), 0x0080, np.uint16), np.full((2, 1), 0x8080, np.uint16)  # +-2^-126
    acc = np.zeros((6, 2), np.float32)
    assert np.signbit(product("bf16", a, b, 1, acc, True)).all()
    assert not np.signbit(product("bf16", a, b, 1, acc, False)).any()


@pytest.mark.parametrize("spread", [0, 3, 9, 40, 254])
@pytest.mark.parametrize("dtype", ["e4m3", "e2m1"])
def test_scales(kernel: int, dtype: str, spread: int) -> None:
    """A scale for every element on the left, for every block on the right; NaN among them."""
    rng = np.random.default_rng([spread, len(dtype)])
    low = min(127 - spread // 2, 254 - spread)
    for m, n, k in ((3, 5, 40), (9, 27, 70)):
        a, b = draw(dtype, (m, k), "any", rng), draw(dtype, (n, k), "any", rng)
        sa = rng.integers(low, low + spread + 1, (m, k)).astype(np.uint8)
        sb = rng.integers(low, low + spread + 1, (-(-k // 32), n)).astype(np.uint8)
        sa[m - 1, 0] = 255
        with np.errstate(all="ignore"):
            left = decode64(a, dtype) * decode64(sa, "e8m0")
            factor = np.repeat(decode64(sb, "e8m0"), 32, 0)[:k].T
            right = decode64(b, dtype) * factor
        acc = rng.standard_normal((m, n)).astype(np.float32)
        for start in (False, True):
            want = wanted(left, right, acc, start)
            assert same(product(dtype, a, b, k, acc, start, (sa, sb)), want)


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 20), n=st.integers(1, 60), k=st.integers(1, 1100),
    level=st.sampled_from(KERNELS), dtype=st.sampled_from(["int8", "int4"]),
    start=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_integers(m: int, n: int, k: int, level: int, dtype: str, start: bool, seed: int) -> None:
    """Exact, and saturating where the sum meets the accumulator."""
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-128, 128, (rows, k), np.int8) for rows in (m, n))
    a[0], b[0] = -128, -128
    acc = rng.integers(-(2**31), 2**31, (m, n), dtype=np.int32)
    acc[0] = 2**31 - 5
    low = [((x.astype(np.int64) + 8) & 15) - 8 if dtype == "int4" else x.astype(np.int64)
           for x in (a, b)]  # fmt: skip
    want = low[0] @ low[1].T + (0 if start else acc.astype(np.int64))
    _core.use_kernel(level)
    try:
        got = product(dtype, a, b, k, acc, start)
    finally:
        _core.use_kernel(-1)
    assert np.array_equal(got, want.clip(-(2**31), 2**31 - 1))
