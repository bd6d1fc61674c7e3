"""Accumulation models against their definitions in rational arithmetic, one output at a time."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.emulator.numerics.numerics_oracle as oracle
from emulator.numerics import decode64, encode, round_to
from emulator.numerics.accumulate import (
    Exact,
    ExactChunk,
    Fp32Seq,
    Fp32Tree,
    Int32,
    Promote,
    TruncAlign,
    accumulate,
    parse_model,
)

MODELS = [
    Exact(),
    ExactChunk(1),
    ExactChunk(16),
    ExactChunk(1000),
    Fp32Seq(),
    Fp32Tree(1),
    Fp32Tree(5),
    Fp32Tree(16),
    TruncAlign(4, 24),
    TruncAlign(32, 13),
    TruncAlign(16, 25, nearest=True),
    TruncAlign(7, 10, 23),
    Promote(32, TruncAlign(8, 13)),
    Promote(24, ExactChunk(8)),
    Promote(9, Fp32Tree(4)),
]


def f32(x: Fraction) -> Fraction:
    """Rounded to float32, nearest even."""
    return Fraction(float(oracle.fraction_to_f32(x)))


def exponent(x: Fraction) -> int:
    """floor(log2 |x|)."""
    e = abs(x).numerator.bit_length() - x.denominator.bit_length()
    return e - (abs(x) < Fraction(2) ** e)


def tree(terms: list[Fraction]) -> Fraction:
    while len(terms) > 1:
        pairs = [f32(x + y) for x, y in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + ([terms[-1]] if len(terms) % 2 else [])
    return terms[0]


def aligned(rule: TruncAlign, a: list[Fraction], b: list[Fraction], acc: Fraction) -> Fraction:
    exponents = [exponent(x) + exponent(y) for x, y in zip(a, b, strict=True) if x * y]
    exponents += [exponent(acc)] if acc else []
    if not exponents:
        return Fraction(0)
    unit = Fraction(2) ** (max(exponents) - rule.fraction)
    total = sum(math.trunc(t / unit) for t in [acc, *(x * y for x, y in zip(a, b, strict=True))])
    value = total * unit
    if value == 0:
        return value
    bits = min(rule.fraction, 23) if rule.out < 0 else rule.out
    last = Fraction(2) ** max(exponent(value) - bits, -149)
    return (round if rule.nearest else math.trunc)(value / last) * last


def reference(rule, a: list[Fraction], b: list[Fraction], acc: Fraction) -> Fraction:  # type: ignore[no-untyped-def]
    """The definition, one output."""
    products = [x * y for x, y in zip(a, b, strict=True)]
    if isinstance(rule, Exact):
        return f32(acc + f32(sum(products, Fraction(0))))
    if isinstance(rule, Fp32Seq):
        for p in products:
            acc = f32(acc + f32(p))
        return acc
    size = rule.n if isinstance(rule, Promote) else rule.length
    for i in range(0, len(a), size):
        part = slice(i, i + size)
        if isinstance(rule, ExactChunk):
            acc = f32(acc + f32(sum(products[part], Fraction(0))))
        elif isinstance(rule, Fp32Tree):
            acc = f32(acc + tree([f32(p) for p in products[part]]))
        elif isinstance(rule, TruncAlign):
            acc = aligned(rule, a[part], b[part], acc)
        else:
            acc = f32(acc + reference(rule.inner, a[part], b[part], Fraction(0)))
    return acc


def check(rule, a: np.ndarray, b: np.ndarray, acc: np.ndarray | None = None) -> None:  # type: ignore[no-untyped-def]
    got = accumulate(a, b, rule, acc)
    start = np.zeros(got.shape, np.float32) if acc is None else acc
    for i, row in enumerate(a):
        for j, column in enumerate(b.T):
            expected = reference(
                rule,
                [Fraction(v) for v in row.tolist()],
                [Fraction(v) for v in column.tolist()],
                Fraction(float(start[i, j])),
            )
            assert Fraction(float(got[i, j])) == expected, (i, j, got[i, j], float(expected))


@pytest.mark.parametrize("fmt", ["bf16", "fp16", "e4m3", "e5m2", "fp32"])
@pytest.mark.parametrize("rule", MODELS, ids=str)
def test_definition(rule, fmt: str) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(12)
    a = round_to(rng.standard_normal((3, 77)), fmt).astype(np.float64)
    b = round_to(rng.standard_normal((77, 4)) * 2.0 ** rng.integers(-6, 6, (77, 1)), fmt)
    a[0, :5] = 0
    check(rule, a, b.astype(np.float64))
    check(rule, np.abs(a), np.abs(b.astype(np.float64)), rng.standard_normal((3, 4)).astype("f4"))


@pytest.mark.parametrize("rule", MODELS, ids=str)
def test_small_and_large_values(rule) -> None:  # type: ignore[no-untyped-def]
    """Float32 subnormal results, and products beyond either end of bf16."""
    rng = np.random.default_rng(3)
    a = np.ldexp(np.round(rng.standard_normal((2, 20)) * 8), -80)
    b = np.ldexp(np.round(rng.standard_normal((20, 3)) * 8), -66)
    check(rule, a, b)
    check(rule, a * 2.0**120, b * 2.0**140)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=40),
)
def test_any_codes(rule, pairs: list[tuple[int, int]]) -> None:  # type: ignore[no-untyped-def]
    codes = np.array([p for p in pairs if (p[0] & 127) != 127 and (p[1] & 127) != 127], np.uint8)
    values = decode64(codes.reshape(-1, 2), "e4m3")
    check(rule, values[:, :1].T.copy(), values[:, 1:].copy())


def test_known_sums() -> None:
    ones = np.ones((1, 4096))
    large = np.array([[2.0**24, 1.0, 1.0, 1.0]])
    assert accumulate(large, np.ones((4, 1)), "exact")[0, 0] == 2**24 + 4  # 3 is a tie
    assert accumulate(large, np.ones((4, 1)), "fp32_seq")[0, 0] == 2**24
    assert accumulate(large, np.ones((4, 1)), "fp32_tree(4)")[0, 0] == 2**24 + 2
    assert accumulate(ones, ones.T, "trunc_align(32, 13)")[0, 0] == 4096


def test_truncation_loses_percents() -> None:
    """14 bits, K = 4096, positive data: biased low by up to 7.5 %; promotion repairs it."""
    rng = np.random.default_rng(0)
    a, b = (
        decode64(encode(np.abs(rng.standard_normal(s)), "e4m3"), "e4m3")
        for s in ((16, 4096), (4096, 16))
    )
    exact = accumulate(a, b, "exact").astype(np.float64)

    def error(model: str) -> np.ndarray:
        return accumulate(a, b, model) / exact - 1

    assert -0.08 < error("trunc_align(32, 13)").min() < -0.06
    assert error("trunc_align(32, 13)").max() < 0
    assert np.abs(error("promote(128, trunc_align(32, 13))")).max() < 1e-3
    assert np.abs(error("trunc_align(32, 25)")).max() < 1e-5


def test_integers() -> None:
    big, ones = np.full((1, 6), 2.0**30), np.ones((6, 1))
    sign = np.array([[1.0, 1, 1, -1, -1, 0]]).T
    assert accumulate(big, ones, "int32").tolist() == [[2**31 - 1]]
    assert accumulate(big, sign, "int32").tolist() == [[2**30]]
    assert accumulate(big, sign, "int32(1)").tolist() == [[-1]]  # 2^31-1 less 2^31: order matters
    assert accumulate(big, ones, "int32_wrap").tolist() == [[-(2**31)]]
    assert accumulate(-big, ones, Int32(length=2)).tolist() == [[-(2**31)]]
    acc = np.array([[5]], np.int32)
    assert accumulate(np.array([[-128.0]]), np.array([[-128.0]]), "int32", acc).tolist() == [
        [16389]
    ]
    assert acc.tolist() == [[5]]


@pytest.mark.parametrize("rule", MODELS, ids=str)
def test_not_finite(rule) -> None:  # type: ignore[no-untyped-def]
    a = np.ones((4, 40))
    a[1, 3], a[2, 5], a[3, 7] = np.inf, np.nan, -np.inf
    b = np.ones((40, 3))
    b[3, 1], b[20, 2] = 0.0, np.inf
    with np.errstate(invalid="ignore"):
        expected = (a[:, :, None] * b[None]).sum(axis=1)
    got = accumulate(a, b, rule)
    assert oracle.same(got, expected).all(), got
    assert (got.view(np.uint32)[np.isnan(got)] == 0x7FC00000).all()


@pytest.mark.parametrize("rule", MODELS, ids=str)
def test_empty_sums(rule) -> None:  # type: ignore[no-untyped-def]
    assert accumulate(np.ones((2, 0)), np.ones((0, 3)), rule).tolist() == [[0] * 3] * 2
    assert accumulate(np.ones((0, 5)), np.ones((5, 3)), rule).shape == (0, 3)
    assert accumulate(np.ones((2, 5)), np.ones((5, 0)), rule).shape == (2, 0)


def test_names() -> None:
    assert parse_model("exact") == Exact()
    assert parse_model(" promote( 128 , trunc_align(32,13) ) ") == Promote(128, TruncAlign(32, 13))
    assert parse_model("int32_wrap") == Int32(saturate=False)
    assert parse_model("int32(128)") == Int32(length=128)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exactly", r"unknown accumulation 'exactly'; known: exact, exact_chunk, "),
        ("exact_chunk", r"exact_chunk takes \(length\)"),
        ("fp32_tree(0)", r"length must be at least 1"),
        ("trunc_align(32, 60)", r"at most 50 fraction bits"),
        ("trunc_align(4096, 13)", r"at most 512 products"),
        ("promote(8, int32)", r"integers are not promoted"),
        ("exact_chunk(four)", r"unknown accumulation 'four'"),
    ],
)
def test_bad_names(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accumulate(np.ones((1, 1)), np.ones((1, 1)), text)


def test_bad_shapes() -> None:
    with pytest.raises(ValueError, match=r"cannot multiply \[1, 2\] by \[3, 4\]"):
        accumulate(np.ones((1, 2)), np.ones((3, 4)), "exact")
    with pytest.raises(ValueError, match=r"the accumulator must be float32 \[1, 4\]"):
        accumulate(np.ones((1, 3)), np.ones((3, 4)), "exact", np.zeros((1, 4), np.int32))
