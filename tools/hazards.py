"""Hazards as diagnostics: the instruction at fault (source line or words), then the other one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from emulator.result import Hazard
from isa.diagnostics import Diagnostic
from isa.program import Program
from tools.machines import word_text
from tools.problem import diagnostic

SHOWN = 20


@dataclass(frozen=True)
class Place:
    """A word of a program and, where it came from text, its source line."""

    section: str
    word: int
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else f"{self.section}+{self.word}"


def place(program: Program, where: tuple[str, int]) -> Place:
    """Where a (section, word index) of a program stands."""
    name, word = where
    try:
        section = program.section(name)
    except KeyError:
        return Place(name, word)
    if word < len(section.lines):
        index, line = section.lines[word]
        if line > 0 and 0 <= index < len(program.files):
            return Place(name, word, program.files[index], line)
    return Place(name, word)


def _source_line(at: Place) -> str | None:
    if at.file is None or at.line is None:
        return None
    try:
        with open(at.file, encoding="utf-8", errors="replace") as file:
            for number, text in enumerate(file, 1):
                if number == at.line:
                    return text.rstrip()
    except OSError:
        pass
    return None


def hazard_text(hazard: Hazard, program: Program) -> str:
    """A hazard as a diagnostic: the instruction's line with a caret, then the other instruction."""
    text = _hazard_message(hazard)
    if hazard.where is None:
        return diagnostic("presil", hazard.severity, text, hazard.kind)
    at = place(program, hazard.where)
    source = _source_line(at)
    lines = []
    if at.file is not None and at.line is not None and source is not None and source.strip():
        code = source.split("#")[0].split("//")[0].strip()
        lines.append(str(Diagnostic(
            file=at.file, line=at.line, col=len(source) - len(source.lstrip()) + 1,
            message=text, code=hazard.kind, severity=hazard.severity,
            span=len(code), source=source,
        )))  # fmt: skip
    else:
        lines.append(diagnostic(str(at), hazard.severity, text, hazard.kind))
        if at.file is None and at.word < len(program.section(at.section)):
            lines.append(f"{at.word} | {word_text(program, at.section, at.word)}")
    if hazard.other is not None:
        lines.append(f"{place(program, hazard.other)}: note: the other instruction")
    return "\n".join(lines)


def _hazard_message(hazard: Hazard) -> str:
    """The emulator's words without the place, with which the diagnostic begins already."""
    text = re.sub(r"^[^:]+(?::\d+)?: (?=cycle [\d,]+)", "", hazard.message)
    if not text.startswith("cycle "):
        text = f"cycle {hazard.cycle:,}: {text}"
    return f"{text}; {hazard.count:,} times" if hazard.count > 1 else text


def hazards_text(hazards: Iterable[Hazard], program: Program) -> str:
    """All hazards, the first ones in full, and how many there were."""
    found = list(hazards)
    lines = [hazard_text(hazard, program) for hazard in found[:SHOWN]]
    errors = sum(h.severity == "error" for h in found)
    if len(found) > SHOWN:
        lines.append(f"... and {len(found) - SHOWN:,} more")
    if errors:
        lines.append(f"{errors:,} error{'s' * (errors != 1)}")
    return "\n".join(lines)
