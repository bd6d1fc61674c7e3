"""Products that reach a matrix unit in pieces of k, summed by a chosen model over the whole of k.

A machine multiplies in passes (LPU) or mmads (NPU). Its own way of adding is compiled into its
engine; any other model works here, and sees the k of one sum as if it came at once: its chunks,
trees and groups count from the sum's first k, wherever pieces end. So the bits depend neither on
the tiling nor on the length of a pass.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.numerics.accumulate import (
    Exact,
    ExactChunk,
    Fp32Seq,
    Int32,
    Model,
    Promote,
    Sums,
    accumulate,
    parse_model,
)
from emulator.numerics.products import Doubles


@dataclass(frozen=True, slots=True)
class Accumulation:
    """How a machine adds: a model for float operands, one for integers; None is its own way."""

    floats: Model | None = None
    integers: Model | None = None

    def __bool__(self) -> bool:
        return self.floats is not None or self.integers is not None


def choose(text: str | Model | None, floats: str, integers: str) -> Accumulation:
    """The accumulation of a run: the chip's two models, one of them replaced by `text`.

    "exact_chunk" and "int32" without a length are a machine's own way. ValueError as `parse_model`.

    >>> choose("fp32_seq", "exact_chunk", "int32")
    Accumulation(floats=Fp32Seq(), integers=None)
    """
    models = [parse_model(floats), parse_model(integers)]
    if text is not None:
        model = parse_model(text)
        models[isinstance(model, Int32)] = model
    if isinstance(models[0], Int32) or not isinstance(models[1], Int32):
        raise ValueError(f"floats add by {floats} and integers by {integers}: the wrong way round")
    return Accumulation(*(None if _is_own(model) else model for model in models))


def _is_own(model: Model) -> bool:
    return model in (ExactChunk(), Int32())


@dataclass(slots=True)
class _Sum:
    """One block of sums: what is settled, and the pieces that wait for their chunk to be full."""

    settled: Sums
    a: list[Doubles] = field(default_factory=list)
    b: list[Doubles] = field(default_factory=list)
    waiting: int = 0  # k of the pieces
    shown: Sums | None = None


class Running:
    """The sums of one run, by key (where in the machine they are)."""

    def __init__(self, chosen: Accumulation) -> None:
        self.chosen = chosen
        self._sums: dict[Hashable, _Sum] = {}
        self._last: tuple[tuple[int, ...], list[Doubles], Doubles] | None = None

    def start(self, key: Hashable, first: Sums) -> None:
        """A new block of sums, from `first` [M, N] (float32, or int32 for integers)."""
        self._sums[key] = _Sum(first.copy())

    def add(self, key: Hashable, a: Doubles, b: Doubles) -> None:
        """The next piece of k of a block that was started: a [M, k] times b [k, N].

        With fewer columns in b than the block has, the rest stays as it is. Neither array is
        written to, here or by the caller afterwards.
        """
        total = self._sums[key]
        total.shown = None
        total.a.append(a)
        total.b.append(b)
        total.waiting += a.shape[1]
        period = _period(self._rule(total.settled))
        ready = total.waiting - total.waiting % period if period else 0
        if ready:
            left, right = np.concatenate(total.a, 1), self._join(total.b)
            total.settled = self._added(total.settled, left[:, :ready], right[:ready])
            total.waiting -= ready
            total.a = [left[:, ready:]] if total.waiting else []
            total.b = [right[ready:]] if total.waiting else []

    def __contains__(self, key: Hashable) -> bool:
        return key in self._sums

    def value(self, key: Hashable) -> Sums:
        """The sums [M, N] of all pieces so far."""
        total = self._sums[key]
        if total.shown is None:
            total.shown = total.settled
            if total.waiting:
                left, right = np.concatenate(total.a, 1), self._join(total.b)
                total.shown = self._added(total.settled, left, right)
        return total.shown

    def holds(self, key: Hashable, bits: npt.NDArray[Any]) -> bool:
        """Whether these bits are what `value` would say; else somebody wrote there since."""
        if key not in self._sums:
            return False
        value = self.value(key)
        return value.shape == bits.shape and value.tobytes() == bits.tobytes()

    def _rule(self, settled: Sums) -> Model:
        rule = self.chosen.integers if settled.dtype == np.int32 else self.chosen.floats
        assert rule is not None, "the machine adds these itself"
        return rule

    def _join(self, parts: list[Doubles]) -> Doubles:
        """One matrix from its pieces; neighbouring sums share theirs, so the last is kept."""
        if len(parts) == 1:
            return parts[0]
        names = tuple(id(part) for part in parts)
        last = self._last  # another thread may put its own here meanwhile
        if last is None or last[0] != names:
            width = max(part.shape[1] for part in parts)
            same = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
            # The parts are kept, too: an id is only a name as long as its object is there.
            last = self._last = (names, list(parts), np.concatenate(same))
        return last[2]

    def _added(self, settled: Sums, a: Doubles, b: Doubles) -> Sums:
        width = b.shape[1]
        new = settled.copy()
        new[:, :width] = accumulate(a, b, self._rule(settled), settled[:, :width])
        return new


def _period(rule: Model) -> int:
    """After so many k a model keeps nothing but its sum; 0: never."""
    if isinstance(rule, Exact):
        return 0
    if isinstance(rule, Fp32Seq):
        return 1
    if isinstance(rule, Promote):
        return rule.n
    return rule.length or 1


__all__ = ["Accumulation", "Running", "choose"]
