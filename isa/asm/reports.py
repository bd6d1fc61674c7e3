"""Collects the mistakes of one run, each once, with the places that brought its line in."""

from __future__ import annotations

from isa.asm.source import Fault, Frame
from isa.diagnostics import Diagnostic, Note

MOST_ERRORS = 200


class TooManyErrors(Exception):
    """Reading stops; what was found so far is enough."""


class Reporter:
    """The source files that were read, and what is wrong with them."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.diagnostics: list[Diagnostic] = []
        self._reported: set[tuple[int, int, int, str]] = set()

    def file_number(self, name: str) -> int:
        """The position of a file in `files`."""
        if name not in self.files:
            self.files.append(name)
        return self.files.index(name)

    def report(self, fault: Fault, frame: Frame, line: int, raw: str) -> None:
        """Record a mistake in a line, unless the same one is there already."""
        key = (frame.file, line, fault.start, str(fault))
        if key in self._reported:
            return
        self._reported.add(key)
        diagnostic = Diagnostic(
            file=self.files[frame.file],
            line=line,
            col=fault.start + 1,
            message=str(fault),
            code=fault.code,
            span=max(1, fault.end - fault.start),
            source=raw.rstrip("\r"),
            hint=fault.hint,
            help=fault.help,
            notes=tuple(self._notes(frame)),
        )
        self.diagnostics.append(diagnostic)
        if len(self.diagnostics) >= MOST_ERRORS:
            raise TooManyErrors

    def _notes(self, frame: Frame) -> list[Note]:
        """Where the frame comes from, innermost first."""
        notes = []
        while frame.parent is not None:
            if frame.what:
                notes.append(Note(self.files[frame.parent.file], frame.site, frame.what))
            frame = frame.parent
        return notes

    def sorted_diagnostics(self) -> list[Diagnostic]:
        """Everything reported, in order of file and place."""
        order = {name: i for i, name in enumerate(self.files)}
        return sorted(self.diagnostics, key=lambda d: (order[d.file], d.line, d.col))
