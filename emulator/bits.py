"""Fields of many 128-bit words at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Raw = NDArray[np.uint64]


def cut(low: Raw, high: Raw, lo: int, width: int) -> Raw:
    """Bits of each word from `lo` on, at most 64; `low` and `high` are the words' halves.

    >>> cut(np.array([0xF << 60], np.uint64), np.array([5], np.uint64), 60, 8).tolist()
    [95]
    """
    if lo >= 64:
        raw = high >> np.uint64(lo - 64)
    elif lo + width <= 64:
        raw = low >> np.uint64(lo)
    else:
        raw = low >> np.uint64(lo) | high << np.uint64(64 - lo)
    return raw & np.uint64((1 << width) - 1)
