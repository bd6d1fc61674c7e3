"""Exact products where BLAS stops being exact, and what must not change a bit."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import tests.emulator.numerics.numerics_oracle as oracle
from emulator.numerics import decode64, exact_dot, get_format, round_to
from emulator.numerics.accumulate import TruncAlign, accumulate
from tests.emulator.numerics.test_numerics_accumulate import check

PAIRS = [("int8", "int8", 24), ("e3m2", "e3m2", 24), ("e2m3", "e2m3", 24), ("e4m3", "e2m1", 24),
         ("e2m1", "e2m1", 24), ("e4m3", "e4m3", 53)]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "bits"), PAIRS)
@pytest.mark.parametrize("more", [-1, 0, 1, 2, 7])
def test_at_the_bound(one: str, other: str, bits: int, more: int) -> None:
    """K about the largest for which sums of the largest products stay exact in float32 or float64.

    Largest times largest but for a few smallest, so that the last unit counts; integers tell.
    """
    k = int(2**bits // (get_format(one).span * get_format(other).span)) + more
    values = [max(abs(get_format(f).min_finite), get_format(f).max_finite) for f in (one, other)]
    unit = [get_format(f).min_subnormal for f in (one, other)]
    a = np.full((5, k), values[0])
    b = np.full((k, 3), values[1])
    a[1, 0], a[2, :2], a[3, k // 2 :] = unit[0], unit[0], -values[0]
    b[-1, 1], b[k // 3, 2] = unit[1], -unit[1]
    scale = unit[0] * unit[1]
    # Sums of integers below 2^63, so numpy's are exact.
    sums = (a / unit[0]).astype(np.int64) @ (b / unit[1]).astype(np.int64)
    expected = np.array(
        [[oracle.fraction_to_f32(oracle.Fraction(s) * oracle.Fraction(scale)) for s in row]
         for row in sums.tolist()], np.float32)  # fmt: skip
    assert np.array_equal(exact_dot(a, b), expected)
    assert np.array_equal(accumulate(a, b, "exact"), expected)


@pytest.mark.parametrize("fmt", ["bf16", "fp16", "e5m2", "e4m3", "fp32"])
def test_order_of_k_and_tiles_change_no_bit(fmt: str) -> None:
    rng = np.random.default_rng(5)
    a = round_to(rng.standard_normal((24, 700)), fmt).astype(np.float64)
    b = round_to(rng.standard_normal((700, 40)) * 2.0 ** rng.integers(-8, 8, (700, 1)), fmt)
    b = b.astype(np.float64)
    whole = exact_dot(a, b)
    order = rng.permutation(700)
    assert exact_dot(a[:, order], b[order]).tobytes() == whole.tobytes()
    for rows, columns in ((5, 7), (24, 1), (1, 40)):
        tiles = [
            [exact_dot(a[i : i + rows], b[:, j : j + columns]) for j in range(0, 40, columns)]
            for i in range(0, 24, rows)
        ]
        assert np.block(tiles).tobytes() == whole.tobytes()


def digest_of_products() -> str:
    """Of several models on data whose plain sgemm differs between numbers of threads."""
    rng = np.random.default_rng(9)
    a = round_to(rng.standard_normal((96, 640)), "bf16").astype(np.float64)
    b = round_to(rng.standard_normal((640, 96)), "bf16").astype(np.float64)
    names = ("exact", "exact_chunk(64)", "promote(128,exact)", "fp32_tree(8)")
    return hashlib.sha256(b"".join(accumulate(a, b, n).tobytes() for n in names)).hexdigest()


def test_threads_of_blas_change_no_bit() -> None:
    code = (
        "from tests.emulator.numerics.test_numerics_bounds import digest_of_products\n"
        "print(digest_of_products())"
    )
    found = set()
    for threads in "12":
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True
        )
        found.add(done.stdout.strip())
    assert found == {digest_of_products()}


@pytest.mark.parametrize(
    "rule", [TruncAlign(32, 13), TruncAlign(4, 0), TruncAlign(16, 25), TruncAlign(8, 50, 23),
             TruncAlign(5, 13, 7, True)], ids=str,
)  # fmt: skip
def test_trunc_align_on_adversarial_products(rule: TruncAlign) -> None:
    """Cancellation to the last bit, one large among small, alternating signs, subnormal sums."""
    large, small = 2.0**20, 2.0**-20
    rows = np.array([
        [large, -large, small, small * 3, -small, 1, -1, 0, large, -large] * 4,
        [1, small] * 20,
        [1, -1 + 2.0**-7] * 20,
        [2.0**-120 * (i % 5 - 2) for i in range(40)],
        [(-1) ** i * 2.0 ** (i - 20) for i in range(40)],
        [1 + 2.0**-7] * 39 + [-39],
    ])  # fmt: skip
    columns = np.array([
        [1.0] * 40, [1 + 2.0**-7] * 40, [(-1.0) ** i for i in range(40)],
        [2.0 ** -(i % 9) for i in range(40)], [2.0**-26] * 40,
    ]).T  # fmt: skip
    check(rule, rows, np.ascontiguousarray(columns))
    check(rule, rows, np.ascontiguousarray(columns), np.full((6, 5), -1.5, np.float32))


def test_every_code_times_every_code() -> None:
    """Pairs of all finite e4m3 and e5m2 codes, one product each, against plain float64."""
    for fmt in ("e4m3", "e5m2", "hif8"):
        values = decode64(np.arange(256, dtype=np.uint8), fmt)
        values = values[np.isfinite(values)]
        expected = np.outer(values, values).astype(np.float32) + np.float32(0)
        assert np.array_equal(exact_dot(values[:, None], values[None, :]), expected)
