"""What a run leaves behind: outputs, cycles, and an account of every cycle of every unit.

Plain data, no printing: reports are made from it in `tools`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


class AccountingError(AssertionError):
    """Cycles of a unit that nobody accounts for: a fault of the emulator itself."""


@dataclass(frozen=True)
class UnitUse:
    """Where the cycles of one unit went: ``busy + sum(waits) + idle == cycles * count``."""

    name: str
    count: int
    busy: int
    waits: Mapping[str, int]
    idle: int

    def check(self, cycles: int) -> None:
        total = self.busy + sum(self.waits.values()) + self.idle
        if total != cycles * self.count or min(self.busy, self.idle, *self.waits.values()) < 0:
            raise AccountingError(
                f"{self.name}: busy {self.busy} + waits {dict(self.waits)} + idle {self.idle}"
                f" is {total}, not {cycles} cycles x {self.count}"
            )


@dataclass(frozen=True)
class MemoryUse:
    """Traffic of one memory level in bytes, and its peak and achieved rate in bytes/s."""

    read_bytes: int
    write_bytes: int
    peak_bytes_per_s: float
    achieved_bytes_per_s: float


@dataclass(frozen=True)
class InstructionUse:
    """One word of the program: how often it issued, what it cost its queue."""

    section: str
    word: int
    issued: int
    busy: int
    waits: Mapping[str, int]
    first_cycle: int
    last_cycle: int


@dataclass(frozen=True)
class Hazard:
    """A fault or warning found while running; equal ones are one with a count.

    `kind` is a short fixed name (``operand``, ``producer``, ``collision``, ``bank``, ``weights``,
    ``uninitialised``, ``overwritten``, ``unconsumed``...); `severity` ``error`` or ``warning``;
    `where` and `other` are (section, word) of the instruction and of the second one involved.
    """

    kind: str
    severity: str
    message: str
    cycle: int
    column: int | None = None
    stream: str | None = None
    where: tuple[str, int] | None = None
    other: tuple[str, int] | None = None
    count: int = 1


@dataclass(frozen=True)
class Span:
    """What one unit did in cycles `start` to `end` - 1: it worked on the instruction `where`
    (section and word, None: on several), or waited for `wait`.
    """

    unit: str
    start: int
    end: int
    where: tuple[str, int] | None
    wait: str  # "": it worked


@dataclass(frozen=True)
class Result:
    """Outcome of `Machine.run`.

    `outputs` maps tensor name to codes (C order, the tensor's shape); empty in timing mode.
    `speed_of_light` maps a resource to the share of its peak that was used (0 to 1) and `bound` is
    the largest. `phases` are named cycle counts such as ``fill`` and ``drain``. `issues` is a
    record array, a row per burst (section index, word, first cycle, count, interval, busy cycles
    of each), for timelines and traces; a machine whose units decide for themselves when to work has
    `spans` instead, of the range of cycles that was asked for.
    """

    chip: str
    clock_hz: float
    mode: str
    cycles: int
    units: Sequence[UnitUse]
    memory: Mapping[str, MemoryUse]
    bound: str
    speed_of_light: Mapping[str, float]
    instructions: Sequence[InstructionUse]
    hazards: Sequence[Hazard]
    phases: Mapping[str, int]
    outputs: Mapping[str, NDArray[Any]]
    issues: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    launch_s: float = 0.0
    spans: Sequence[Span] = ()

    def __post_init__(self) -> None:
        for unit in self.units:
            unit.check(self.cycles)

    @property
    def time_s(self) -> float:
        return self.launch_s + self.cycles / self.clock_hz

    def unit(self, name: str) -> UnitUse:
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(f"no unit '{name}'; units: {', '.join(u.name for u in self.units)}")
