"""Distinct values, without `numpy.unique`: that imports numpy.ma, which nothing else here needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def distinct(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """Where each combination of values stands first, by value (the first column counts most).

    >>> distinct(np.array([3, 1, 3, 1, 2]))
    array([1, 4, 0])
    >>> distinct(np.array([3, 1, 3, 1]), np.array([0, 5, 0, 4]))
    array([3, 1, 0])
    """
    order = np.lexsort(columns[::-1]).astype(np.int64)
    fresh = np.zeros(len(order), np.bool_)
    fresh[:1] = True
    for column in columns:
        ordered = column[order]
        fresh[1:] |= ordered[1:] != ordered[:-1]
    return order[fresh]
