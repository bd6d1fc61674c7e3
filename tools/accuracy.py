"""How far a run's values are from float64, and from the same maths done simply (*naive*).

The measures are in `tools.errors`. Two published rules need no hand-made constants, as they compare
with the naive run: FlashAttention's (at most twice its largest error) and CATLASS's (ratios of
largest and mean relative error and of RMSE).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tools.errors import Errors, ratio

LIMIT = 2.0  # FlashAttention's rule: at most twice the error of the naive run
MARE_LIMIT, MERE_LIMIT, RMSE_LIMIT = 5.0, 1.5, 1.5  # CATLASS's ratios
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
    within: bool | None = Field(
        description="FlashAttention's rule, or exact; null where there is no yardstick"
    )
    max_ulp: float | None = Field(
        description="largest error in units of float32's spacing at the reference (floored as in"
        " max_rel); of integer results in units of 1"
    )
    mean_ulp: float | None = Field(description="mean of the same")
    cosine: float | None = Field(description="cosine of the angle between result and reference")
    calc_diff: float | None = Field(description="1 - 2<x,y> / (<x,x> + <y,y>)")
    bias: float | None = Field(description="mean signed error, result minus reference")
    saturated: int = Field(description="input elements beyond the largest value of their format")
    mare: float | None = Field(description="largest of error / (|reference| + 1e-7)")
    mere: float | None = Field(description="mean of error / (|reference| + 1e-7)")
    mare_ratio: float | None = Field(description="mare / that of the naive run, at most 5")
    mere_ratio: float | None = Field(description="mere / that of the naive run, at most 1.5")
    rmse_ratio: float | None = Field(description="rmse / that of the naive run, at most 1.5")
    catlass: bool | None = Field(
        description="CATLASS's rule, all three ratios; null where there is no yardstick"
    )
    softmax_kl: float | None = Field(
        description="outputs whose rows are distributions: largest Kullback-Leibler divergence"
        " of a row from the reference, in nats; else null"
    )
    row_sum_error: float | None = Field(description="of the same outputs: largest |row sum - 1|")


def measure(
    results: Mapping[str, Array],
    reference: Mapping[str, Array],
    naive: Mapping[str, Array] | None,
    scales: Mapping[str, Any],
    integers_in: bool,
    saturated: int = 0,
    distributions: Iterable[str] = (),
) -> Accuracy | None:
    """The accuracy of the worst output that has a reference.

    `scales` takes a result to the reference's scale (a number, or an array that broadcasts),
    `distributions` names the outputs whose last axis sums to 1.
    """
    found = [
        _one(name, results[name], reference[name], (naive or {}).get(name), scales.get(name, 1.0),
             integers_in, saturated, name in distributions)
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


def errors_of(name: str, result: Array, reference: Array, scale: Any) -> Errors:
    """A decoded result against its reference, on the reference's scale."""
    wanted = np.asarray(reference, dtype=np.float64)
    if result.shape != wanted.shape:
        raise ValueError(f"output {name} is {result.shape}, its reference {wanted.shape}")
    unit = float(np.max(scale)) if result.dtype.kind in "iu" else None
    return Errors(result.astype(np.float64) * scale, wanted, unit)


@np.errstate(invalid="ignore", over="ignore")  # not finite is a finding, not a warning
def _one(
    name: str, result: Array, reference: Array, naive: Array | None, scale: Any, integers_in: bool,
    saturated: int, distribution: bool,
) -> Accuracy:  # fmt: skip
    found = errors_of(name, result, reference, scale)
    exact = None
    if integers_in and result.dtype.kind in "iu":
        exact = bool(np.array_equal(found.values, found.wanted))
    other = None if naive is None else Errors(naive.astype(np.float64), found.wanted)
    yardstick = None if other is None else other.max_abs
    ratios = [None if other is None else ratio(getattr(found, key), getattr(other, key))
              for key in ("mare", "mere", "rmse")]  # fmt: skip
    return Accuracy(
        output=name,
        max_abs=found.max_abs,
        mean_abs=found.mean_abs,
        rmse=found.rmse,
        max_rel=found.max_rel,
        sqnr_db=found.sqnr_db,
        nonfinite=found.nonfinite,
        naive_max_abs=yardstick,
        ratio_to_naive=ratio(found.max_abs, yardstick),
        limit=LIMIT,
        exact=exact,
        within=_verdict(exact, found, yardstick),
        max_ulp=found.max_ulp,
        mean_ulp=found.mean_ulp,
        cosine=found.cosine,
        calc_diff=found.calc_diff,
        bias=found.bias,
        saturated=saturated,
        mare=found.mare,
        mere=found.mere,
        mare_ratio=ratios[0],
        mere_ratio=ratios[1],
        rmse_ratio=ratios[2],
        catlass=None if other is None else _catlass(found, other),
        softmax_kl=found.row_divergence if distribution else None,
        row_sum_error=found.row_sum_error if distribution else None,
    )


def _verdict(exact: bool | None, found: Errors, yardstick: float | None) -> bool | None:
    if exact is not None:
        return exact
    if found.nonfinite or found.max_abs is None:
        return False
    return None if yardstick is None else found.max_abs <= LIMIT * yardstick


def _catlass(found: Errors, naive: Errors) -> bool | None:
    """Whether all three ratios hold; None where the naive run has no finite errors."""
    for key, limit in (("mare", MARE_LIMIT), ("mere", MERE_LIMIT), ("rmse", RMSE_LIMIT)):
        value, yardstick = getattr(found, key), getattr(naive, key)
        if yardstick is None:
            return None
        if value is None or value > limit * yardstick:
            return False
    return True
