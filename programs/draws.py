"""Seeded random data, for inputs that a user did not give."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from emulator.host import in_threads

NORMAL_BLOCK = 1 << 20  # values


def normal(shape: tuple[int, ...], seed: int, stream: int) -> NDArray[np.float32]:
    """Seeded N(0, 1) float32 data; `stream` tells the inputs of one kernel apart.

    Every block of 2^20 values begins at a counter of its own, so that all CPUs can draw and the
    values are the same however many there are.
    """
    drawn = np.empty(shape, np.float32)
    flat = drawn.reshape(-1)
    blocks = range(0, flat.size, NORMAL_BLOCK)

    def draw(start: int) -> None:
        bits = np.random.Philox(key=[seed, stream], counter=[0, 0, 0, start // NORMAL_BLOCK])
        np.random.Generator(bits).standard_normal(
            out=flat[start : start + NORMAL_BLOCK], dtype=np.float32
        )

    in_threads([partial(draw, start) for start in blocks])
    return drawn
