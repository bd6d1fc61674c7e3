"""Measures of error against a float64 reference: plain functions over arrays.

`wanted` is the reference, `values` what came out, both float64 of one shape. An element counts
where the reference is finite; where the result is not, the measures are infinite or NaN, and
`finite` turns those into None, which is what a report and JSON show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

FLOOR = 1000  # relative measures do not divide by less than the reference's RMS over this
TINY = 1e-7  # what CATLASS adds to a divisor
LEAST = 2.0**-149  # float32's smallest positive value: below it nothing can be told from 0


def finite(value: Any) -> float | None:
    """A number, or None where it is infinite or NaN."""
    number = float(value)
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Errors:
    """One result against its reference; `ulp` is the result type's spacing where it has a fixed
    one (integers), else None for float32's.
    """

    values: Doubles
    wanted: Doubles
    ulp: float | None = None

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        return np.isfinite(self.wanted)

    @cached_property
    def usable(self) -> Doubles:
        """The reference, 0 where it does not count."""
        return np.where(self.counted, self.wanted, 0.0)

    @cached_property
    def signed(self) -> Doubles:
        """Result minus reference, 0 where it does not count."""
        return np.subtract(
            self.values, self.wanted, where=self.counted, out=np.zeros_like(self.wanted)
        )

    @cached_property
    def error(self) -> Doubles:
        return np.abs(self.signed)

    @cached_property
    def floored(self) -> Doubles:
        """Magnitudes of the reference, at least its RMS / 1000."""
        rms = math.sqrt(_mean(np.square(self.usable)))
        return np.maximum(np.abs(self.usable), rms / FLOOR)

    @property
    def nonfinite(self) -> int:
        return int(np.count_nonzero(self.counted & ~np.isfinite(self.values)))

    @property
    def max_abs(self) -> float | None:
        return _max(self.error)

    @property
    def mean_abs(self) -> float | None:
        return finite(_mean(self.error))

    @property
    def bias(self) -> float | None:
        """Mean of the signed error."""
        return finite(_mean(self.signed))

    @property
    def rmse(self) -> float | None:
        return finite(math.sqrt(_mean(np.square(self.error))))

    @property
    def max_rel(self) -> float | None:
        divisor = self.floored
        return _max(self.error / divisor) if np.any(divisor) else None

    @cached_property
    def _ulps(self) -> Doubles:
        if self.ulp is not None:
            return self.error / self.ulp
        with np.errstate(over="ignore"):
            spacing = np.spacing(self.floored.astype(np.float32)).astype(np.float64)
        return self.error / spacing

    @property
    def max_ulp(self) -> float | None:
        return _max(self._ulps)

    @property
    def mean_ulp(self) -> float | None:
        return finite(_mean(self._ulps))

    @property
    def sqnr_db(self) -> float | None:
        noise, signal = float(np.square(self.error).sum()), self._power(self.usable)
        if not noise or not signal or not math.isfinite(noise):
            return None
        return 10 * math.log10(signal / noise)

    @property
    def cosine(self) -> float | None:
        """Cosine of the angle between result and reference."""
        size = math.sqrt(self._power(self.usable)) * math.sqrt(self._power(self._seen))
        return finite(self._product / size) if size else None

    @property
    def calc_diff(self) -> float | None:
        """1 - 2<x, y> / (<x, x> + <y, y>), written so that equal arrays give exactly 0."""
        total = self._power(self.usable) + self._power(self._seen)
        return finite(float(np.square(self.error).sum()) / total) if total else None

    @property
    def mare(self) -> float | None:
        """CATLASS: the largest |result - reference| / (|reference| + 1e-7)."""
        return _max(self.error / (np.abs(self.usable) + TINY))

    @property
    def mere(self) -> float | None:
        """CATLASS: the mean of the same."""
        return finite(_mean(self.error / (np.abs(self.usable) + TINY)))

    @property
    def row_divergence(self) -> float | None:
        """Rows as distributions: the largest sum of p ln(p / q) - p + q of a row, in nats.

        p is the reference. The last two terms are 0 for rows that sum to 1, and keep the measure
        positive for those that do not.
        """
        q = np.maximum(self._seen, LEAST)
        terms = self.usable * (np.log(np.maximum(self.usable, LEAST)) - np.log(q))
        return _max((terms - self.usable + self._seen).sum(-1))

    @property
    def row_sum_error(self) -> float | None:
        """The largest |sum of a row - 1|."""
        return _max(np.abs(self._seen.sum(-1) - 1))

    @property
    def _seen(self) -> Doubles:
        return np.where(self.counted, self.values, 0.0)

    @property
    def _product(self) -> float:
        return float(np.sum(self.usable * self._seen))

    @staticmethod
    def _power(x: Doubles) -> float:
        return float(np.square(x).sum())


def _mean(x: Doubles) -> float:
    return float(x.mean()) if x.size else 0.0


def _max(x: Doubles) -> float | None:
    return finite(x.max()) if x.size else 0.0


def ratio(value: float | None, yardstick: float | None) -> float | None:
    """value / yardstick where both exist; 1 where both are 0."""
    if value is None or yardstick is None:
        return None
    if not yardstick:
        return 1.0 if not value else None
    return value / yardstick
