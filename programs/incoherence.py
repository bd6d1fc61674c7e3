"""Incoherent processing (FlashAttention-3, after QuIP): outliers of q and k spread over head_dim.

Both are multiplied by the same orthogonal matrix, random signs and then a Hadamard matrix, so their
products stay as they are while no element stands out. On a machine this is part of making q and k
(FlashAttention-3 fuses it with the rotary embedding), so here it is part of encoding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from programs.draws import normal
from programs.kernel import Array, KernelError

SIGNS = 0x51695F31  # seed of the signs: any, but the same for q and k


def hadamard(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """x [..., n] times the orthogonal Hadamard matrix, n a power of two.

    Additions in a fixed order, so the bits are the same on every computer.
    """
    n = x.shape[-1]
    y, size = x, 1
    while size < n:
        pairs = y.reshape(*x.shape[:-1], n // (2 * size), 2, size)
        low, high = pairs[..., 0, :], pairs[..., 1, :]
        y = np.stack([low + high, low - high], -2).reshape(x.shape)
        size *= 2
    scaled: NDArray[np.float64] = y / np.sqrt(n)
    return scaled


def rotated(name: str, x: Array) -> NDArray[np.float32]:
    """q or k [..., head_dim] with signs flipped and mixed."""
    n = x.shape[-1]
    if x.dtype.kind != "f":
        raise KernelError(f"incoherent: {name} holds codes, which cannot be rotated; give floats")
    if n & (n - 1):
        raise KernelError(f"incoherent: head_dim is a power of two, not {n}")
    draws = np.random.Generator(np.random.Philox(key=[SIGNS, n])).integers(0, 2, n)
    return hadamard(x.astype(np.float64) * (1.0 - 2.0 * draws)).astype(np.float32)


def with_outliers(shape: tuple[int, ...], seed: int, stream: int) -> NDArray[np.float32]:
    """Seeded N(0, 1) + N(0, 100) with probability 0.001, as FlashAttention-3's Table 3."""
    rng = np.random.Generator(np.random.Philox(key=[seed, (1 << 32) + stream]))
    rare = rng.random(shape) < 0.001
    far = 10 * rng.standard_normal(shape, dtype=np.float32)
    return normal(shape, seed, stream) + np.where(rare, far, np.float32(0))
