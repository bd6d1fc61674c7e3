"""What a person is told when something is wrong, and the exit code that goes with it.

Every message of the command line has one form, ``where: severity: text [code]``, and where there
is a next step a ``help:`` line after it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

OK, WRONG_PROGRAM, WRONG_USAGE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 130


class Problem(Exception):
    """Something the user can mend; `code` is the exit code it deserves."""

    def __init__(
        self, text: str, *, help: str = "", code: int = WRONG_USAGE, where: str = "presil"
    ) -> None:
        super().__init__(text)
        self.text, self.help, self.code, self.where = text, help, code, where

    def __str__(self) -> str:
        return diagnostic(self.where, "error", self.text, help=self.help)


class ProgramFault(Exception):
    """A program that is wrong; its text is the printed diagnostics, `faults` the objects if any."""

    code = WRONG_PROGRAM

    def __init__(self, text: str, faults: Iterable[Any] = ()) -> None:
        super().__init__(text)
        self.faults = tuple(faults)


def diagnostic(where: str, severity: str, text: str, code: str = "", help: str = "") -> str:
    """One diagnostic in its printed form; a text of several lines gives one diagnostic each.

    >>> print(diagnostic("presil", "error", "no chip 'x'", help="see 'presil chips'"))
    presil: error: no chip 'x'
    help: see 'presil chips'
    """
    mark = f" [{code}]" if code else ""
    lines = [f"{where}: {severity}: {line}{mark}" for line in text.splitlines() or [""]]
    return "\n".join([*lines, f"help: {help}"] if help else lines)


def suggestion(name: str, known: Iterable[str], what: str) -> str:
    """``did you mean 'x'?`` for a near name, else the list of names there are."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"{what}: {', '.join(names)}" if names else f"there are no {what}"
