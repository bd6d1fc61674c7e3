"""The cycles of a program as a picture in text: a row per queue, a column per cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from emulator.result import Result, Span
from isa.program import Program
from tools.machines import instruction_set
from tools.occupancy import letter_of, occupancy, scale_of
from tools.page import WIDTH
from tools.problem import Problem

STRIP = 80  # columns side by side
MARK = 20  # columns from one number above a strip to the next


def parse_range(text: str) -> tuple[int, int]:
    """``A:B`` as first cycle and the cycle after the last.

    >>> parse_range("100:180")
    (100, 180)
    """
    first, colon, last = text.partition(":")
    try:
        start, stop = int(first.replace(",", "") or 0), int(last.replace(",", ""))
    except ValueError:
        raise Problem(f"--timeline: '{text}' is no range of cycles", help="write 0:80") from None
    if not colon or start < 0 or stop <= start:
        raise Problem(f"--timeline: '{text}' is no range of cycles", help="write 0:80")
    return start, stop


def timeline(program: Program, result: Result, start: int, stop: int) -> str:
    """The issues of cycles start to stop - 1, in strips that fit the page."""
    if start >= result.cycles:
        raise Problem(f"--timeline: the run ends in cycle {result.cycles - 1:,}")
    stop = min(stop, result.cycles)
    if result.spans:
        return _of_units(program, result, start, stop)
    rows, letters = _rows(program, result, start, stop)
    if not rows:
        return f"  no queue issues in cycles {start:,} to {stop - 1:,}"
    label = max(len(name) for name in rows) + 2
    width = min(STRIP, WIDTH - label - 2)
    lines: list[str] = []
    for low in range(start, stop, width):
        high = min(stop, low + width)
        lines += _ruler(low, high, label)
        for name, cells in rows.items():
            lines.append(f"  {name.ljust(label)}{''.join(cells[low - start : high - start])}")
        lines.append("")
    key = "  ".join(f"{letter} {name}" for name, letter in letters.items())
    return "\n".join([*lines, *_wrapped(f"{key}  = still busy  . not issued")])


def _of_units(program: Program, result: Result, start: int, stop: int) -> str:
    """One strip whatever the range: units of an NPU are busy for hundreds of cycles at a time."""
    label = max(len(span.unit) for span in result.spans) + 2
    columns = min(STRIP, WIDTH - label - 2)
    scale = scale_of(stop - start, columns)
    units, work, waits = occupancy(result.spans, _mnemonic(program), start, stop, scale)
    marks = "".join(
        f"{start + column * scale:,}".ljust(MARK)
        for column in range(0, -(-(stop - start) // scale), MARK)
    )
    lines = [f"  {'cycle'.ljust(label)}{marks.rstrip()}"]
    lines += [f"  {unit.ljust(label)}{cells}" for unit, cells in units.items()]
    works = "  ".join(f"{letter} {name}" for name, letter in work.items())
    waited = "  ".join(f"{letter} {name}" for name, letter in waits.items())
    each = f"A column is {scale:,} cycles: what took the most of them." if scale > 1 else ""
    text = [*lines, "", *_wrapped(f"{works}  = still busy  . idle")]
    return "\n".join([*text, *_wrapped(waited, "waits"), *([f"  {each}"] if each else [])])


def _mnemonic(program: Program) -> Callable[[Span], str]:
    """What a span worked on, by name; a scalar unit's is of many words at once."""
    names = {s.name: m for s, m in zip(program.sections, _mnemonics(program), strict=True)}
    return lambda span: names[span.where[0]][span.where[1]] if span.where else "scalar"


def _rows(
    program: Program, result: Result, start: int, stop: int
) -> tuple[dict[str, list[str]], dict[str, str]]:
    names = [section.name for section in program.sections]
    mnemonics = _mnemonics(program)
    rows: dict[str, list[str]] = {}
    letters: dict[str, str] = {}
    for section, word, cycle, busy in _issues(result, start, stop):
        name = mnemonics[section][word]
        letter = letter_of(name, letters, str.upper, str.lower)
        cells = rows.setdefault(names[section], ["."] * (stop - start))
        for t in range(max(start, cycle + 1), min(stop, cycle + busy)):
            if cells[t - start] == ".":
                cells[t - start] = "="
        if cycle >= start:
            cells[cycle - start] = letter
    ordered = {name: rows[name] for name in names if name in rows}
    return ordered, dict(sorted(letters.items()))


def _mnemonics(program: Program) -> list[list[str]]:
    table = instruction_set(program.isa)
    return [[table.by_code[word & 0xFF].name for word in s] for s in program.sections]


def _issues(result: Result, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """(section, word, cycle, busy) of every issue that touches the range."""
    if not result.issues.dtype.names:
        return
    for record in result.issues:
        section, word, first, count, interval, busy = (int(value) for value in record)
        step = max(1, interval)
        reach = max(1, busy)
        begin = max(0, -(-(start - reach + 1 - first) // step))
        for i in range(begin, count):
            cycle = first + i * step
            if cycle >= stop:
                break
            yield section, word, cycle, reach


def _ruler(low: int, high: int, label: int) -> list[str]:
    """Two lines: the cycle at every tenth column, and the last digits."""
    tens = [" "] * (high - low + 12)
    for t in range(low, high):
        if t % 10 == 0:
            for i, char in enumerate(f"{t:,}"):
                tens[t - low + i] = char
    digits = "".join(str(t % 10) for t in range(low, high))
    first = f"  {'cycle'.ljust(label)}{''.join(tens).rstrip()}"
    return [first[:WIDTH], f"  {' ' * label}{digits}"]


def _wrapped(text: str, title: str = "key") -> list[str]:
    import textwrap

    first = f"  {title}  "
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
