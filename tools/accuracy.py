"""How far a run's values are from float64, and from the same maths done simply (*naive*)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

LIMIT = 2.0  # FlashAttention's rule: at most twice the error of the naive run
MACS_BY_DEFAULT = 1 << 30  # above this the float64 reference is computed only on request

Array = NDArray[Any]


class Accuracy(BaseModel):
    """Errors of one output against float64 on the unrounded inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str = Field(description="the output with the worst error, of several")
    max_abs: float | None = Field(description="largest absolute error")
    mean_abs: float | None = Field(description="mean absolute error")
    rmse: float | None = Field(description="root of the mean squared error")
    max_rel: float | None = Field(
        description="largest error relative to the reference (floored at its RMS / 1000)"
    )
    sqnr_db: float | None = Field(description="signal to noise in dB; null where there is no error")
    nonfinite: int = Field(description="results that are NaN or Inf where the reference is finite")
    naive_max_abs: float | None = Field(description="max_abs of the naive run; null without one")
    ratio_to_naive: float | None = Field(description="max_abs / naive_max_abs")
    limit: float = Field(description="largest ratio_to_naive that passes")
    exact: bool | None = Field(description="integer results on integer inputs: all equal or not")
    within: bool | None = Field(description="the verdict; null where there is no yardstick")


def measure(
    results: Mapping[str, Array],
    reference: Mapping[str, Array],
    naive: Mapping[str, Array] | None,
    scales: Mapping[str, float],
    integers_in: bool,
) -> Accuracy | None:
    """The accuracy of the worst output that has a reference."""
    found = [
        _one(name, results[name], reference[name], (naive or {}).get(name), scales.get(name, 1.0),
             integers_in)
        for name in results
        if name in reference
    ]  # fmt: skip
    return max(found, key=_badness, default=None)


def _badness(item: Accuracy) -> tuple[bool, int, float, float]:
    return (
        item.within is False,
        item.nonfinite,
        item.ratio_to_naive or 0.0,
        math.inf if item.max_abs is None else item.max_abs,
    )


def _one(
    name: str, result: Array, reference: Array, naive: Array | None, scale: float,
    integers_in: bool,
) -> Accuracy:  # fmt: skip
    wanted = np.asarray(reference, dtype=np.float64)
    if result.shape != wanted.shape:
        raise ValueError(f"output {name} is {result.shape}, its reference {wanted.shape}")
    values = result.astype(np.float64) * scale
    counted = np.isfinite(wanted)
    error = np.abs(values - wanted, where=counted, out=np.zeros_like(wanted))
    nonfinite = int(np.count_nonzero(counted & ~np.isfinite(values)))
    worst = _max(error)
    exact = None
    if integers_in and result.dtype.kind in "iu":
        exact = bool(np.array_equal(values, wanted))
    yardstick = None if naive is None else _naive_error(naive, wanted, counted)
    ratio = _ratio(worst, yardstick)
    return Accuracy(
        output=name,
        max_abs=worst,
        mean_abs=_finite(error.mean()) if error.size else 0.0,
        rmse=_finite(math.sqrt(np.square(error).mean())) if error.size else 0.0,
        max_rel=_max_rel(error, wanted, counted),
        sqnr_db=_sqnr(error, wanted, counted),
        nonfinite=nonfinite,
        naive_max_abs=yardstick,
        ratio_to_naive=ratio,
        limit=LIMIT,
        exact=exact,
        within=_verdict(exact, nonfinite, worst, yardstick),
    )


def _verdict(
    exact: bool | None, nonfinite: int, worst: float | None, yardstick: float | None
) -> bool | None:
    if exact is not None:
        return exact
    if nonfinite or worst is None:
        return False
    return None if yardstick is None else worst <= LIMIT * yardstick


def _naive_error(naive: Array, wanted: Array, counted: Array) -> float | None:
    return _max(np.abs(naive.astype(np.float64) - wanted, where=counted, out=np.zeros_like(wanted)))


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _max(error: Array) -> float | None:
    return _finite(error.max()) if error.size else 0.0


def _ratio(worst: float | None, yardstick: float | None) -> float | None:
    if worst is None or not yardstick:
        return None
    return worst / yardstick


def _max_rel(error: Array, wanted: Array, counted: Array) -> float | None:
    usable = np.where(counted, wanted, 0.0)
    rms = math.sqrt(float(np.square(usable).mean())) if usable.size else 0.0
    if rms == 0:
        return None
    return _finite((error / np.maximum(np.abs(usable), rms / 1000)).max())


def _sqnr(error: Array, wanted: Array, counted: Array) -> float | None:
    noise = float(np.square(error).sum())
    signal = float(np.square(np.where(counted, wanted, 0.0)).sum())
    if not noise or not signal or not math.isfinite(noise):
        return None
    return 10 * math.log10(signal / noise)
