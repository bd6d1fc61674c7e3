"""What the pipes of one core did in a range of cycles, for pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.npu.accounts import REASONS
from emulator.npu.prepare import Prepared
from emulator.result import Span
from isa.npu import PIPES

_PIPE = {number: name for name, number in PIPES.items()}


class Watch(NamedTuple):
    """Keep what the sub-cores of a core do in cycles `start` to `stop` - 1."""

    core: int
    start: int
    stop: int


def spans(prepared: Prepared, rows: NDArray[np.int64]) -> tuple[Span, ...]:
    """The engine's rows, unit by unit and by time; what a unit did on and on is one span."""
    subs = 1 + prepared.chip.vector.per_core
    found: list[Span] = []
    order = np.lexsort((rows[:, 4], rows[:, 1], rows[:, 0]))
    for sub, pipe, row, reason, start, end in rows[order].tolist():
        if REASONS[reason] == "idle":
            continue
        part = sub % subs
        unit = f"{f'vector{part - 1}' if part else 'cube'}.{_PIPE[pipe]}"
        # A scalar unit's account is of many words at once.
        where = prepared.where(row) if _PIPE[pipe] != "scalar" else None
        wait = "" if REASONS[reason] == "busy" else REASONS[reason]
        last = found[-1] if found else None
        if last and (last.unit, last.end, last.where, last.wait) == (unit, start, where, wait):
            found[-1] = Span(unit, last.start, end, where, wait)
        else:
            found.append(Span(unit, start, end, where, wait))
    return tuple(found)
