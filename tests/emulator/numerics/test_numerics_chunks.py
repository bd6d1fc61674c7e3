"""Products in exact chunks: every micro-kernel and every arithmetic against the definition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.numerics import _core, decode64, encode

FLOATS = ("fp32", "fp16", "bf16", "e4m3", "e5m2", "e2m3", "e3m2", "e2m1", "hif8")
STORAGE: dict[str, Any] = {"fp32": np.uint32, "fp16": np.uint16, "bf16": np.uint16}
KERNELS = range(len(_core.kernel_names()))


@pytest.fixture(params=KERNELS, ids=_core.kernel_names())
def kernel(request: pytest.FixtureRequest) -> Iterator[int]:
    _core.use_kernel(request.param)
    yield request.param
    _core.use_kernel(-1)


def number(dtype: str) -> int:
    return int(_core.Fmt[dtype.upper()])


def raw(x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(-1).view(np.uint8)


def product(
    dtype: str, a: Any, b: Any, chunk: int, acc: Any, scales: tuple[Any, Any] = (None, None),
    packed: bool = False,
) -> Any:  # fmt: skip
    """acc + a b by `multiply_chunks`."""
    (m, k), n = a.shape, b.shape[1]
    out = acc.copy()
    codes = [pack(x) if packed else x for x in (a, b)]
    left, right = (None if s is None else raw(s) for s in scales)
    _core.multiply_chunks(
        number(dtype), packed, m, n, k, chunk, raw(codes[0]), left, raw(codes[1]), right, raw(out)
    )
    return out


def pack(codes: Any) -> Any:
    rows = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
    return rows[:, ::2] | rows[:, 1::2] << 4


def chunked(a: Any, b: Any, chunk: int, acc: Any) -> Any:
    """The definition: each chunk by the wide accumulator, added in float32."""
    total = acc.copy()
    with np.errstate(all="ignore"):
        for first in range(0, a.shape[1], chunk):
            part = slice(first, first + chunk)
            total = total + _core.exact_dot_wide(a[:, part], b[part])
    total[np.isnan(total)] = np.nan
    return total


def same(got: Any, want: Any) -> bool:
    """Equal bit for bit."""
    return bool(np.array_equal(got.view(np.uint32), want.view(np.uint32)))


def draw(dtype: str, shape: tuple[int, int], kind: str, rng: np.random.Generator) -> Any:
    """Codes: any at all, or such that sums are near ties, or of widely differing size."""
    storage = STORAGE.get(dtype, np.uint8)
    most = {"e2m1": 16, "e2m3": 64, "e3m2": 64}.get(dtype, np.iinfo(storage).max + 1)
    if kind == "any":
        return rng.integers(0, most, shape, dtype=storage)
    x = rng.standard_normal(shape)
    if kind == "ties":
        x = np.round(3 * x) * np.exp2(rng.integers(-1, 1, shape) * 12)
    elif kind == "spread":
        x *= np.exp2(rng.integers(-14, 14, shape))
    return encode(x.astype(np.float32), dtype)


@pytest.mark.parametrize("kind", ["normal", "ties", "spread", "any"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats(kernel: int, dtype: str, kind: str) -> None:
    rng = np.random.default_rng([FLOATS.index(dtype), len(kind)])
    chunk = 128 // np.dtype(STORAGE.get(dtype, np.uint8)).itemsize
    for m, n, k in ((1, 1, 1), (5, 7, chunk + 1), (9, 50, 2 * chunk), (17, 25, 2 * chunk + 9)):
        a, b = draw(dtype, (m, k), kind, rng), draw(dtype, (k, n), kind, rng)
        acc = rng.standard_normal((m, n)).astype(np.float32)
        want = chunked(decode64(a, dtype), decode64(b, dtype), chunk, acc)
        assert same(product(dtype, a, b, chunk, acc), want)


def scaled(dtype: str, codes: Any, scales: Any, axis: int) -> Any:
    """Values with the blocks' scales."""
    factor = np.repeat(decode64(scales, "e8m0"), 32, axis)
    with np.errstate(all="ignore"):
        return decode64(codes, dtype) * factor.take(range(codes.shape[axis]), axis)


@pytest.mark.parametrize("spread", [0, 3, 9, 40, 254])
@pytest.mark.parametrize("dtype", ["e4m3", "e5m2", "e2m1"])
def test_block_scales(kernel: int, dtype: str, spread: int) -> None:
    """Scales near each other, and so far apart that no arithmetic is exact; NaN among them."""
    rng = np.random.default_rng([spread, len(dtype)])
    packed = dtype == "e2m1"
    chunk = 256 if packed else 128
    for m, n, k in ((3, 5, 40), (9, 27, chunk + 33)):
        a, b = draw(dtype, (m, k), "any", rng), draw(dtype, (k, n), "any", rng)
        groups = -(-k // 32)
        low = min(127 - spread // 2, 254 - spread)
        sa = rng.integers(low, low + spread + 1, (m, groups)).astype(np.uint8)
        sb = rng.integers(low, low + spread + 1, (groups, n)).astype(np.uint8)
        sa[m - 1, 0] = 255
        acc = np.zeros((m, n), np.float32)
        want = chunked(scaled(dtype, a, sa, 1), scaled(dtype, b, sb, 0), chunk, acc)
        assert same(product(dtype, a, b, chunk, acc, (sa, sb), packed), want)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_integers(kernel: int, dtype: str) -> None:
    """Exact, and saturating after each chunk rather than at the end."""
    rng = np.random.default_rng(1)
    low, high = (-128, 128) if dtype == "int8" else (-8, 8)
    m, n, k, chunk = 7, 51, 300, 128
    a = rng.integers(low, high, (m, k), np.int8)
    b = rng.integers(low, high, (k, n), np.int8)
    a[0], b[:, 0] = low, low
    acc = np.full((m, n), 2**31 - 5, np.int32)
    acc[1:] = rng.integers(-(2**31), 2**31, (m - 1, n), dtype=np.int32)
    want = acc.astype(np.int64)
    for first in range(0, k, chunk):
        part = slice(first, first + chunk)
        want += a[:, part].astype(np.int64) @ b[part].astype(np.int64)
        want = want.clip(-(2**31), 2**31 - 1)
    assert np.array_equal(product(dtype, a, b, chunk, acc), want)


@pytest.mark.parametrize(
    ("dtype", "k", "how"),
    [("int8", 1024, "float32"), ("int8", 1025, "float64"), ("e2m1", 256, "float32"),
     ("e4m3", 128, "float64"), ("e5m2", 128, "certified"), ("bf16", 64, "certified")],
)  # fmt: skip
def test_cheapest_arithmetic(dtype: str, k: int, how: str) -> None:
    assert _core.chunk_arithmetic(number(dtype), k, k) == how


@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(1, 20), n=st.integers(1, 60), k=st.integers(1, 90), chunk=st.integers(1, 90),
    dtype=st.sampled_from(["e4m3", "bf16", "e5m2"]), level=st.sampled_from(KERNELS),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_shapes(m: int, n: int, k: int, chunk: int, dtype: str, level: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = draw(dtype, (m, k), "any", rng), draw(dtype, (k, n), "any", rng)
    acc = np.zeros((m, n), np.float32)
    _core.use_kernel(level)
    try:
        got = product(dtype, a, b, chunk, acc)
    finally:
        _core.use_kernel(-1)
    assert same(got, chunked(decode64(a, dtype), decode64(b, dtype), chunk, acc))
