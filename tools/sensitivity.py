"""What moves a prediction most: every chip value is raised by a tenth and the row run again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from math import log

from emulator.chip import ChipError
from programs.kernel import KernelError
from tools.chipinfo import Entry, entries
from tools.problem import Problem, ProgramFault
from tools.published import TOTALS, Row
from tools.session import Stage, silent
from tools.validation import Effect, Timed, run

STEP = 0.1
SHOWN = 5  # values of a row


def effects(rows: Iterable[Row], stage: Stage = silent) -> list[Effect]:
    """The `SHOWN` strongest effects of every row (or of its probe), strongest first.

    Values that cannot be raised by a tenth (a power of two, a format, a path) are left out.
    """
    probes = [replace(row, settings={**row.settings, **row.probe}) for row in rows]
    tasks = [(row, entry) for row in probes for entry in entries(row.chip)]
    found: dict[str, list[Effect]] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for (row, _), effect in zip(tasks, pool.map(_effect, tasks, chunksize=8), strict=True):
            stage(row.where)
            if effect is not None and effect.elasticity:
                found.setdefault(row.where, []).append(effect)
    return [e for group in found.values() for e in strongest(group)]


def strongest(group: Sequence[Effect]) -> Iterator[Effect]:
    """Ties go to the earlier key of the chip file."""
    return iter(sorted(group, key=lambda e: -abs(e.elasticity))[:SHOWN])


def _effect(task: tuple[Row, Entry]) -> Effect | None:
    row, entry = task
    raised = raise_value(entry)
    measure = next((name for name in row.measures if name in TOTALS), None)
    if raised is None or measure is None:
        return None
    try:
        before = _baseline(row).figures[measure]
        after = run(row, {entry.path: raised[0]}).figures[measure]
    except (ChipError, KernelError, Problem, ProgramFault, ValueError):
        return None
    return Effect(
        where=row.where, measure=measure, key=entry.path, status=entry.status,
        value=f"{entry.value} {entry.unit}".strip(), raised=raised[0],
        elasticity=log(after / before) / log(raised[1]),
    )  # fmt: skip


_known: dict[str, Timed] = {}  # of this process


def _baseline(row: Row) -> Timed:
    if row.where not in _known:
        _known[row.where] = run(row)
    return _known[row.where]


def raise_value(entry: Entry) -> tuple[str, float] | None:
    """(text of the raised value, its factor); None where the value is no number.

    >>> raise_value(Entry("dma", "", "overhead", "39", "", "derived", ""))
    ('43', 1.1025641025641026)
    """
    text = entry.value.replace(",", "")
    try:
        value = float(text)
    except ValueError:
        return None
    if value <= 0:
        return None
    if entry.unit or not text.lstrip("-").isdigit():
        new = value * (1 + STEP)
        return f"{new:.10g} {entry.unit}".strip(), new / value
    whole = max(round(value * (1 + STEP)), int(value) + 1)
    return str(whole), whole / value
