"""Spans of units as a picture in text: a row per unit, a column for so many cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from emulator.result import Span

COLUMNS = 80


def scale_of(cycles: int, columns: int) -> int:
    """Cycles that a column stands for: 1, 2 or 5 times a power of ten.

    >>> scale_of(80, 80), scale_of(81, 80), scale_of(100_000, 80)
    (1, 2, 2000)
    """
    scale = 1
    while True:
        for factor in (1, 2, 5):
            if scale * factor * columns >= cycles:
                return scale * factor
        scale *= 10


def occupancy(
    spans: Sequence[Span],
    name: Callable[[Span], str],
    start: int,
    stop: int,
    scale: int,
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Cells of each unit; letters of what they worked on (`name` of a span), and of waits.

    A column shows what took the most of its cycles. Where that is an instruction, it is its letter
    in the first column that shows it, then ``=``.
    """
    columns = -(-(stop - start) // scale)
    work: dict[str, str] = {}
    waits: dict[str, str] = {}
    units: dict[str, str] = {}
    for unit in dict.fromkeys(span.unit for span in spans):
        owners: list[Span | None] = [None] * columns
        most = [0] * columns
        for span in (span for span in spans if span.unit == unit):
            for column in range((span.start - start) // scale, (span.end - 1 - start) // scale + 1):
                low = start + column * scale
                share = min(span.end, low + scale) - max(span.start, low)
                if share > most[column]:
                    most[column], owners[column] = share, span
        cells = []
        for before, owner in pairwise([None, *owners]):
            if owner is None:
                cells.append(".")
            elif owner.wait:
                cells.append(_letter(waits, owner.wait, str.lower))
            else:
                cells.append("=" if owner is before else _letter(work, name(owner), str.upper))
        units[unit] = "".join(cells)
    return units, dict(sorted(work.items())), dict(sorted(waits.items()))


def _letter(letters: dict[str, str], name: str, case: Callable[[str], str]) -> str:
    """The letter of a name: its first free one, else any free one, else a digit."""
    if name not in letters:
        taken = set(letters.values())
        letters[name] = next((c for c in _candidates(name, case) if c not in taken), "?")
    return letters[name]


def _candidates(name: str, case: Callable[[str], str]) -> Iterable[str]:
    yield from (case(c) for c in name if c.isalpha())
    yield from (case(c) for c in "abcdefghijklmnopqrstuvwxyz")
    yield from "0123456789"
