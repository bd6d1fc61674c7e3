"""*Naive*: the yardstick of every error rule, the same maths done simply in the low precision.

A kernel passes if its largest error against float64 is at most twice naive's (the rule that the
FlashAttention papers use). This is the only statement of it; reports, tests and tables share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from emulator.host import in_threads
from programs.encoding import code_values, rounded
from programs.kernel import Array, Scale

PANEL, NARROW_PANEL = 512, 64  # columns of a matrix that are converted at once

ONE_THREAD = 1 << 18  # multiply-adds up to which OpenBLAS starts no threads
SMALL = 1 << 23  # multiply-adds of a matrix that are not worth any
LEAST_PIECE = 8  # rows: with fewer BLAS is slow


def naive_matmul(a: Array, b: Array, dtype: str) -> NDArray[np.float32]:
    """Operands rounded to the format, product in float32. a [m, k], b [k, n] -> [m, n]."""
    left = rounded(a, dtype, 1)
    if dtype in ("int8", "nvfp4"):  # one scale for all of b
        whole: NDArray[np.float32] = left @ rounded(b, dtype, 0)
        return whole
    return by_panels(left, b.shape[1], lambda panel: rounded(b[:, panel], dtype, 0))


def naive_matmul_of_codes(
    a: Array, b: Array, dtype: str, scale_a: Scale | None, scale_b: Scale | None
) -> NDArray[np.float32]:
    """`naive_matmul` of operands that are rounded already; scales as `encoding.code_values`."""
    left = code_values(a, dtype, 1, scale_a)
    if dtype == "int8":
        whole: NDArray[np.float32] = left @ code_values(b, dtype, 0, scale_b)
        return whole

    def right(panel: slice) -> Array:
        scale = None if scale_b is None else np.asarray(scale_b)[:, panel]
        return code_values(b[:, panel], dtype, 0, scale)

    return by_panels(left, b.shape[1], right)


def by_panels(left: Array, columns: int, right: Callable[[slice], Array]) -> Array:
    """left @ right, a few columns at a time, which stay in the cache; `right` makes them, in the
    format of left.

    A product with one row reads each element once: it takes panels of the second-level cache, and
    as BLAS leaves it to one CPU, several panels at a time.
    """
    product = np.empty((len(left), columns), left.dtype)

    def multiply(panel: slice) -> None:
        np.matmul(left, right(panel), out=product[:, panel])

    if len(left) > 1:
        for first in range(0, columns, PANEL):
            multiply(slice(first, first + PANEL))
    else:
        starts = range(0, columns, NARROW_PANEL)
        in_threads([partial(multiply, slice(i, i + NARROW_PANEL)) for i in starts])
    return product


def naive_attention(q: Array, k: Array, v: Array, dtype: str, causal: bool) -> NDArray[np.float32]:
    """q [..., heads, seq, d], k and v [..., kv_heads, kv, d] -> o like q.

    Inputs rounded to the format (MX blocks along head_dim for q and k, along keys for v); scores,
    row maximum, exponential and row sum in float32, the sum over unrounded probabilities;
    probabilities rounded to the format; their product with v in float32, divided by the sum.
    """
    groups = q.shape[-3] // k.shape[-3]
    kr = np.repeat(rounded(k, dtype, -1), groups, axis=-3)
    vr = np.repeat(rounded(v, dtype, -2), groups, axis=-3)
    s = _products(rounded(q, dtype, -1), kr.swapaxes(-1, -2))
    s *= np.float32(1 / np.sqrt(q.shape[-1]))
    if causal:
        s = np.where(causal_mask(q.shape[-2], k.shape[-2]), s, np.float32(-np.inf))
    p = np.exp(s - s.max(-1, keepdims=True))
    total = p.sum(-1, keepdims=True)
    if dtype == "int8":
        p = np.rint(p * np.float32(127)) * np.float32(1 / 127)
    else:
        p = rounded(p, dtype, -1)
    out: NDArray[np.float32] = _products(p, vr) / total
    return out


def attention_reference(q: Array, k: Array, v: Array, causal: bool) -> NDArray[np.float64]:
    """Attention in float64 on the unrounded inputs; shapes as `naive_attention`."""
    groups = q.shape[-3] // k.shape[-3]
    k64 = np.repeat(np.asarray(k, np.float64), groups, axis=-3)
    v64 = np.repeat(np.asarray(v, np.float64), groups, axis=-3)
    s = _products(np.asarray(q, np.float64), k64.swapaxes(-1, -2)) / np.sqrt(q.shape[-1])
    if causal:
        s = np.where(causal_mask(q.shape[-2], k.shape[-2]), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    out: NDArray[np.float64] = _products(p, v64) / p.sum(-1, keepdims=True)
    return out


def _products(left: Array, right: Array) -> Array:
    """left @ right of many small matrices, each in pieces of rows that BLAS does on one thread.

    On a computer with other work, waiting for BLAS's threads takes far longer than such a product.
    """
    rows, work = left.shape[-2], max(1, right.shape[-2] * right.shape[-1])
    piece = math.gcd(rows, 1 << max(0, (ONE_THREAD // work).bit_length() - 1))
    if rows * work > SMALL or piece < min(rows, LEAST_PIECE):
        whole: Array = left @ right
        return whole
    pieces = left.reshape(*left.shape[:-2], rows // piece, piece, left.shape[-1])
    found: Array = pieces @ right[..., None, :, :]
    return found.reshape(*left.shape[:-1], right.shape[-1])


def causal_mask(seq: int, kv: int) -> NDArray[np.bool_]:
    """[seq, kv]: query i sees key j iff j <= i + kv - seq."""
    return np.arange(kv)[None, :] <= np.arange(seq)[:, None] + (kv - seq)
