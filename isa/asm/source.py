"""Source lines: where they come from, and how one is cut into comment, operands and strings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from isa.fields import FieldError

NAME = re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$]*")
LABEL = re.compile(r'\s*([A-Za-z_.$][A-Za-z0-9_.$]*|"(?:[^"\\]|\\.)*")\s*:')
DIRECTIVE = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)")
ASSIGNMENT = re.compile(r"([A-Za-z_$][A-Za-z0-9_.$]*)\s*=(?!=)")
_CODE = re.compile(r'(?:[^"#/]|"(?:[^"\\]|\\.)*"?|/(?!/))*')
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|[][(),{}]|[^][(),{}"]+')


class Fault(Exception):
    """A mistake in the line at hand; `start` and `end` are offsets in it."""

    def __init__(
        self, message: str, code: str, start: int, end: int, *, hint: str = "", help: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.start = start
        self.end = end
        self.hint = hint
        self.help = help


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line, stripped, and the offset at which it begins."""

    text: str
    at: int

    @property
    def end(self) -> int:
        return self.at + max(1, len(self.text))

    def fault(self, message: str, code: str, *, hint: str = "", help: str = "") -> Fault:
        return Fault(message, code, self.at, self.end, hint=hint, help=help)

    def wrong(self, error: FieldError) -> Fault:
        """A field's or an expression's error, on the part of the text that it names."""
        start, end = error.span or (0, len(self.text))
        return Fault(
            str(error), error.code, self.at + start, self.at + max(end, start + 1), hint=error.hint
        )


class Frame:
    """A run of lines: a file, an included file, or one expansion of a block.

    Line `i` of `lines` is line `first + i` of file number `file`. `parent` and `site` say which
    line of which frame brought it in, `what` in which way ("" for the branch of an ``.if``).
    """

    __slots__ = ("depth", "file", "first", "lines", "parent", "site", "what")

    def __init__(
        self,
        file: int,
        first: int,
        lines: list[str],
        parent: Frame | None = None,
        site: int = 0,
        what: str = "",
    ) -> None:
        self.file = file
        self.first = first
        self.lines = lines
        self.parent = parent
        self.site = site
        self.what = what
        self.depth: int = parent.depth + 1 if parent else 0


def strip_comment(line: str) -> str:
    """The line without its comment; ``#`` and ``//`` inside a string begin none.

    >>> strip_comment('.meta title "a # b"  # the title')
    '.meta title "a # b"  '
    """
    if "#" not in line and "//" not in line:
        return line
    match = _CODE.match(line)
    return match[0] if match else line


def split(text: str, at: int = 0) -> list[Piece]:
    """The comma-separated parts of a text that begins at offset `at`; brackets and strings hold.

    >>> [piece.text for piece in split("s0.e, [1, 2], f(a, b)")]
    ['s0.e', '[1, 2]', 'f(a, b)']
    """
    if not text.strip():
        return []
    starts = [0]
    if "(" in text or "[" in text or '"' in text or "{" in text:
        depth = 0
        for match in _PIECE.finditer(text):
            mark = match[0]
            if mark in "([{":
                depth += 1
            elif mark in ")]}":
                depth -= 1
            elif mark == "," and depth <= 0:
                starts.append(match.end())
    else:
        starts += [i + 1 for i, mark in enumerate(text) if mark == ","]
    ends = [start - 1 for start in starts[1:]] + [len(text)]
    pieces = []
    for start, end in zip(starts, ends, strict=True):
        part = text[start:end]
        pieces.append(Piece(part.strip(), at + start + len(part) - len(part.lstrip())))
    return pieces


def unquote(piece: Piece) -> str:
    """The text of a quoted string, with JSON's escapes."""
    try:
        value = json.loads(piece.text)
    except ValueError:
        value = None
    if not isinstance(value, str):
        raise piece.fault(f"expected a string in quotes, not {piece.text or 'nothing'}", "A003")
    return value


def quoted(name: str) -> str:
    """A name as text: bare where that is possible, else in quotes."""
    return name if NAME.fullmatch(name) and name != "." else json.dumps(name)


def name_of(piece: Piece, what: str) -> str:
    """A bare or quoted name."""
    if piece.text.startswith('"'):
        return unquote(piece)
    if NAME.fullmatch(piece.text) and piece.text != ".":
        return piece.text
    raise piece.fault(f"{what} is a name, not '{piece.text}'", "A003")
