"""Diagnostics: one form for every complaint about a source text.

    bad.s:7:18: error: no stream register s40; they are s0 to s31 [A012]
    7 |     add.fp32 s0.e, s40.e, s4.e
      |                    ^^^^^
    help: ...
    bad.s:20:5: note: in macro 'tile', used here

The codes of the assembler are listed in `CODES`; each names one kind of mistake and never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CODES = {
    "A001": "unknown instruction",
    "A002": "unknown directive",
    "A003": "a line that has no form the assembler knows",
    "A010": "an operand with a wrong value",
    "A011": "operands missing, left over or misnamed",
    "A012": "no such stream register",
    "A013": "an expression that cannot be computed",
    "A014": "a symbol without a value",
    "A015": "a name that cannot be given a value",
    "A020": "a label that is not defined",
    "A021": "a label that is defined twice",
    "A022": "an expectation that does not fit its operand",
    "A030": "a queue that the chip does not have",
    "A031": "an instruction in a queue of another unit",
    "A032": "an instruction outside every queue",
    "A040": "a cycle that has passed already",
    "A041": "a repeat with nothing to repeat",
    "A050": "a wrong macro definition or use",
    "A051": "a block without its beginning or end",
    "A052": "a file that cannot be included",
    "A053": "an expansion without an end",
    "A054": "an error that the program asks for",
    "A060": "a chip that cannot be used",
    "A070": "a wrong tensor declaration",
    "A071": "a place that the chip or the tensor does not have",
    "A080": "data that does not fit its tensor",
}

WIDEST = 160  # columns of a source line that are shown


@dataclass(frozen=True)
class Note:
    """Where the faulty line was included or expanded."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: note: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """One complaint.

    `line` and `col` count from 1; `span` is how many columns of `source`, the line's text after
    expansion, are at fault; `hint` stands beside the caret, `help` below it.
    """

    file: str
    line: int
    col: int
    message: str
    code: str
    severity: str = "error"
    span: int = 1
    source: str = ""
    hint: str = ""
    help: str = ""
    notes: tuple[Note, ...] = ()

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}:{self.col}: {self.severity}: {self.message} [{self.code}]"
        lines = [head, *self._excerpt()]
        if self.help:
            lines.append(f"help: {self.help}")
        lines += [str(note) for note in self.notes]
        return "\n".join(lines)

    def _excerpt(self) -> list[str]:
        """The source line and the caret below it; a very long line is cut around the caret."""
        if not self.source.strip():
            return [f"  {self.hint}"] if self.hint else []
        text = "".join(c if c.isprintable() or c == "\t" else "?" for c in self.source)
        start = self.col - 1
        first = max(0, start - WIDEST // 2) if len(text) > WIDEST else 0
        text, start = text[first : first + WIDEST], start - first
        # A tab stays a tab, so that the caret stands where the terminal puts the text.
        indent = "".join("\t" if c == "\t" else " " for c in text[:start])
        carets = "^" * max(1, min(self.span, len(text) - start))
        gutter = f"{self.line} | "
        hint = f" {self.hint}" if self.hint else ""
        return [gutter + text.rstrip(), " " * (len(gutter) - 2) + "| " + indent + carets + hint]


class DiagnosticError(Exception):
    """A text was refused; `diagnostics` holds every complaint about it, in order of appearance."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.report())

    def report(self) -> str:
        """All of them as the command line prints them, with a count at the end."""
        errors = sum(d.severity == "error" for d in self.diagnostics)
        count = f"{errors} error" + ("s" if errors != 1 else "")
        return "\n".join([*map(str, self.diagnostics), count])


class AssemblyError(DiagnosticError):
    """Assembly text that is no program."""
