"""Spans of units as a picture in text: a row per unit, a column for so many cycles."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from emulator.result import Span


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
    """Cells of each unit, whose spans lie together; letters of what they worked on (`name` of a
    span), and of waits.

    A column shows what took the most of its cycles. Where that is an instruction, it is its letter
    in the first column that shows it, then ``=``.
    """
    columns = -(-(stop - start) // scale)
    work: dict[str, str] = {}
    waits: dict[str, str] = {}
    units: dict[str, str] = {}
    for unit, own in groupby(spans, lambda span: span.unit):
        owners: list[Span | None] = [None] * columns
        most = [0] * columns
        for span in own:
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
                cells.append(letter_of(owner.wait, waits, str.lower))
            else:
                cells.append("=" if owner is before else letter_of(name(owner), work, str.upper))
        units[unit] = "".join(cells)
    return units, dict(sorted(work.items())), dict(sorted(waits.items()))


def letter_of(name: str, letters: dict[str, str], *cases: Callable[[str], str]) -> str:
    """The letter of a name in `letters`, where a new one is put: its first free one in the first
    case that has one, else any free one, else a digit.
    """
    if name not in letters:
        taken = set(letters.values())
        letters[name] = next((c for c in _candidates(name, cases) if c not in taken), "?")
    return letters[name]


def _candidates(name: str, cases: Iterable[Callable[[str], str]]) -> Iterator[str]:
    for text in ("".join(c for c in name if c.isalpha()), string.ascii_lowercase):
        for case in cases:
            yield from case(text)
    yield from string.digits
