"""exact_dot against rational arithmetic: every format, ties and hairs, cancellation, NaN, Inf."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.emulator.numerics.numerics_oracle as oracle
from emulator.numerics import FORMATS, decode64, exact_dot, round_to
from emulator.numerics._core import add_saturating, exact_dot_direct, exact_dot_wide
from emulator.numerics.products import add_exact_dot, left_operand, right_operand


def random_values(fmt: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values of random codes, finite."""
    row = next(f for f in FORMATS if f.name == fmt)
    codes = rng.integers(0, 1 << 32, 4 * int(np.prod(shape)) + 64, dtype=np.uint32)
    codes = (codes & np.uint32(~((1 << row.code_shift) - 1) & 0xFFFFFFFF)).astype(row.storage)
    values = decode64(codes, fmt)
    return values[np.isfinite(values)][: int(np.prod(shape))].reshape(shape)


def blas(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """exact_dot on the path of large matrices, whatever the size: row a[0] repeated to reach it."""
    repeat = -(-(1 << 18) // max(a.size * b.shape[1], 1)) + 4
    big = left_operand(np.tile(a, (repeat, 1)))
    return exact_dot(big, right_operand(b))[: len(a)]


def check(a: np.ndarray, b: np.ndarray) -> None:
    expected = oracle.exact_matmul(a, b).view(np.uint32)
    assert (exact_dot(a, b).view(np.uint32) == expected).all()
    assert (exact_dot_direct(a, b).view(np.uint32) == expected).all()
    assert (blas(a, b).view(np.uint32) == expected).all()
    assert (exact_dot_wide(a, b).view(np.uint32) == expected).all()


@pytest.mark.parametrize("k", [1, 2, 5, 31, 160, 320])
@pytest.mark.parametrize("fmt", [f.name for f in FORMATS])
def test_random_codes(fmt: str, k: int) -> None:
    rng = np.random.default_rng(k)
    check(random_values(fmt, (2, k), rng), random_values(fmt, (k, 3), rng))


@pytest.mark.parametrize("fmt", ["fp32", "bf16", "fp16", "e4m3", "e2m1", "hif8", "int8"])
def test_normal_data(fmt: str) -> None:
    rng = np.random.default_rng(0)
    a = round_to(rng.standard_normal((5, 320)), fmt).astype(np.float64)
    b = round_to(rng.standard_normal((320, 7)) * 3, fmt).astype(np.float64)
    check(a, b)


@pytest.mark.parametrize("fmt", ["fp32", "bf16", "fp16", "e5m2", "e4m3"])
@pytest.mark.parametrize("k", [2, 17, 320])
def test_cancellation(fmt: str, k: int) -> None:
    """Every term cancelled by its negative, but for one small one."""
    rng = np.random.default_rng(k)
    a = random_values(fmt, (3, k), rng)
    half = random_values(fmt, (k, 4), rng)
    b = np.concatenate([half, -half[rng.permutation(k)]])
    a = np.concatenate([a, a], axis=1)
    check(a, b)
    check(np.concatenate([a[:, :k], a[:, :k]], axis=1), np.concatenate([half, -half]))
    left = np.concatenate([a[:, :k], a[:, :k], np.full((3, 1), 2.0**-9)], axis=1)
    check(left, np.concatenate([half, -half, np.full((1, 4), -(2.0**-9))]))


def test_ties_and_hairs() -> None:
    """Sums on a float32 tie, and off it by less than a float64 can hold."""
    rows = []
    for base in (1.0, 1.0 + 2.0**-23, 2.0**127, 2.0**-126, 2.0**-149, -1.0, 0.0):
        ulp = float(np.spacing(np.float32(abs(base))))
        for hair in (0.0, 2.0**-60, -(2.0**-60), 2.0**-200, -(2.0**-200)):
            for sign in (1, -1):
                rows.append([base, sign * ulp / 2, hair * abs(base), 0.0])
    a = np.array(rows)
    check(a, np.ones((4, 1)))
    check(a, np.full((4, 1), 2.0**-30))
    check(np.repeat(a, 2, axis=1), np.full((8, 1), 0.5))


def test_range_of_products() -> None:
    """fp32 subnormals times block scales, sums that leave float32 at either end, zeros."""
    tiny, huge = 2.0**-149, float(np.finfo(np.float32).max)
    a = np.array(
        [[tiny, tiny, 1.0], [huge, huge, huge], [huge, -huge, 1.0], [2.0**-75, 2.0**-76, 0.0]]
    )
    b = np.array([[tiny, huge, 2.0**-75], [tiny, -huge, 2.0**-76], [0.0, 1.0, 2.0**-150]])
    check(a, b)
    check(a * 2.0**100, b * 2.0**100)
    check(a * 2.0**-100, b)
    assert np.isinf(exact_dot(np.array([[huge, huge]]), np.ones((2, 1))))


def test_zero_is_positive() -> None:
    a, b = np.array([[-0.0, 0.0], [1.0, -1.0], [-1.0, 0.0]]), np.array([[1.0], [1.0]])
    assert not np.signbit(exact_dot(a, b)[:2]).any()
    assert not np.signbit(exact_dot(np.zeros((1, 2)), -b)).any()
    under = exact_dot(np.array([[-(2.0**-100)]]), np.array([[2.0**-100]]))
    assert under[0, 0] == 0
    assert np.signbit(under)[0, 0]  # IEEE: an underflow keeps its sign


def test_not_finite() -> None:
    inf, nan = np.inf, np.nan
    cases = [
        ([inf, 1, 1], [1, 1, 1], inf),
        ([-inf, 1, 1], [2, 1, 1], -inf),
        ([inf, 1, 1], [-1, 1, 1], -inf),
        ([inf, 1, 0], [1, 1, -inf], nan),
        ([inf, -inf, 0], [1, 1, 1], nan),
        ([0, 1, 1], [inf, 1, 1], nan),
        ([inf, 1, 1], [0, 1, 1], nan),
        ([nan, 1, 1], [0, 1, 1], nan),
        ([1, 1, 1], [nan, inf, 1], nan),
        ([3e38, 3e38, -inf], [1, 1, 1], -inf),
    ]
    for x, y, expected in cases:
        for pad in (0, 1, 5, 400):  # other terms that are zeros or ordinary
            a = np.array([x + [0.5] * pad], np.float64)
            b = np.tile(np.array([y + [0.25] * pad], np.float64).T, (1, 5))
            for function in (exact_dot, exact_dot_direct, exact_dot_wide, blas):
                got = function(a, b)
                assert oracle.same(got, np.full(5, expected)).all()
                assert not np.isnan(expected) or (got.view(np.uint32) == 0x7FC00000).all()


def test_ieee_where_nothing_rounds() -> None:
    """Inf and NaN anywhere: as NumPy's own float64 sum, where the finite part cannot overflow."""
    rng = np.random.default_rng(4)
    pool = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -2.0, 0.5])
    a, b = (
        rng.choice(pool, (200, 6), p=[0.05, 0.05, 0.02, 0.2, 0.1, 0.2, 0.2, 0.18]),
        rng.choice(pool, (6, 9)),
    )
    with np.errstate(invalid="ignore"):
        expected = (a[:, :, None] * b[None]).sum(axis=1)
    got = exact_dot(a, b)
    assert ((got == expected) | (np.isnan(got) & np.isnan(expected))).all()


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (3, 7, 2), (2, 4, 13), (4, 9, 16), (2, 320, 320), (1, 3, 0), (0, 2, 2), (2, 0, 3)],
)
def test_shapes_and_strides(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    rng = np.random.default_rng(1)
    a, b = (
        rng.integers(-9, 9, (m, k)).astype(np.float64),
        rng.integers(-9, 9, (k, n)).astype(np.float64),
    )
    assert (exact_dot(a, b) == a @ b).all()
    assert (exact_dot(np.asfortranarray(a), b[::, ::-1][:, ::-1]) == a @ b).all()
    assert exact_dot(a, b).dtype == np.float32


@pytest.mark.parametrize("fmt", ["fp32", "bf16", "fp16", "e5m2", "e4m3", "e2m1", "int8"])
@pytest.mark.parametrize("scale", [0, 90, -90])
def test_large_products(fmt: str, scale: int) -> None:
    """Float32 BLAS, float64 BLAS with either proof, and sums done again: bits as without BLAS."""
    rng = np.random.default_rng(8)
    a = round_to(rng.standard_normal((70, 300)) * 4, fmt).astype(np.float64) * 2.0**scale
    b = round_to(rng.standard_normal((300, 530)) * 4, fmt).astype(np.float64) * 2.0**-scale
    a[3] = 0
    b[:, 5] = 0
    a[:, 150:] = np.where(rng.random((70, 1)) < 0.2, -a[:, :150], a[:, 150:])  # zeros and ties
    b[150:] = np.where(rng.random(530) < 0.2, b[:150], b[150:])
    expected = exact_dot_direct(a, b).view(np.uint32)
    assert (exact_dot(a, b).view(np.uint32) == expected).all()
    twice = exact_dot(a, b)
    add_exact_dot(twice, left_operand(a), right_operand(b))
    assert (twice == expected.view(np.float32) * 2).all()


def test_large_products_that_are_not_finite() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((40, 100)).astype("f4").astype("f8"), np.ones((100, 90))
    a[3, 4], a[5, 6], b[4, 7], b[0, 1] = np.inf, np.nan, 0.0, -np.inf
    expected = exact_dot_direct(a, b)
    assert oracle.same(exact_dot(a, b), expected).all()
    assert np.isnan(expected[3, 7])
    assert np.isnan(expected[5]).all()
    acc = np.zeros((40, 90), np.float32)
    add_exact_dot(acc, a, b)
    assert oracle.same(acc, expected).all()


def test_accumulator_is_checked() -> None:
    for bad in (np.zeros((2, 3), np.float64), np.zeros((3, 2), "f4"), np.zeros((3, 2), "f4").T):
        with pytest.raises(ValueError, match=r"contiguous float32 \[2, 3\]"):
            add_exact_dot(bad, np.ones((2, 4)), np.ones((4, 3)))


def test_bad_shapes() -> None:
    with pytest.raises(ValueError, match=r"cannot multiply \[2, 3\] by \[4, 5\]"):
        exact_dot(np.ones((2, 3)), np.ones((4, 5)))


FLOATS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([1.0, -1.0, 2.0**-24, 1 + 2.0**-23, 2.0**24, 2.0**-149, 3.0, 0.0]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=40))
def test_any_float32(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    check(a[None], np.repeat(b[:, None], 2, axis=1))


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20),
    st.integers(-(2**31), 2**31 - 1),
)
def test_saturating_add(values: list[int], start: int) -> None:
    acc = np.full(len(values), start, np.int32)
    add_saturating(acc, np.array(values, np.int32))
    assert acc.tolist() == [max(-(2**31), min(2**31 - 1, start + v)) for v in values]
