"""What the assembler keeps while it reads: sections, labels, and expectations to be resolved."""

from __future__ import annotations

from typing import NamedTuple

from isa.asm.source import Frame
from isa.asm.target import AGAIN, RESTART
from isa.table import Instruction


class Entry(NamedTuple):
    """An encoded instruction as the text that gave it is remembered.

    `uses` holds, per operand text, its field and how many streams it reads; `wants` the expectation
    texts of a whole line: (position of the operand, text, offset in the line).
    """

    word: bytes
    hold: int
    span: int
    uses: tuple[tuple[str, int], ...]
    wants: tuple[tuple[int, str, int], ...] = ()


class Template(NamedTuple):
    """An instruction whose integers are filled in: ``read s3.e, 17`` and ``read s3.e, 18``.

    `numbers` holds (lowest, highest, mask, position in the word) of each; `varying` is there where
    the timing depends on them: the instruction, and the names of their fields.
    """

    base: int
    numbers: tuple[tuple[int, int, int, int], ...]
    hold: int
    span: int
    uses: tuple[tuple[str, int], ...]
    varying: tuple[Instruction, tuple[str, ...]] | None


class Tail(NamedTuple):
    """An instruction that is known but for its last operand, an integer; see `Template`."""

    base: int
    lowest: int
    highest: int
    mask: int
    position: int
    like: Entry


class Label(NamedTuple):
    """A label: the word it stands for, and the cycle in which that issues.

    It belongs to the next instruction of its section; until that comes, `word` is -1.
    """

    section: Section
    word: int
    time: int
    kept: bool
    file: int
    line: int


class Deferred(NamedTuple):
    """An instruction that waits for a name to be defined."""

    section: Section
    word: int
    text: str
    at: int
    frame: Frame
    line: int
    raw: str


class Section:
    """A queue in the making.

    `time` is the first cycle in which its next instruction may issue; `last` the cycle of the
    latest issue and `hold` how long that keeps the unit, which a repeat needs.
    """

    __slots__ = (
        "hold", "kind", "known", "labels", "last", "name", "origins", "pending", "repeatable",
        "tails", "templates", "time", "words",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        kind: str,
        known: dict[str, Entry],
        templates: dict[tuple[str, ...], Template],
        labels: dict[str, Label],
    ) -> None:
        self.name = name
        self.kind = kind
        self.words = bytearray()
        self.origins: list[tuple[int, int]] = []
        self.time = 0
        self.last = 0
        self.hold = 0
        self.repeatable = False
        self.labels = labels
        self.pending: list[str] = []
        self.known = known
        self.templates = templates
        self.tails: dict[str, Tail] = {}

    def append(self, word: bytes, hold: int, span: int, origin: tuple[int, int]) -> None:
        """One more word; whatever labels waited for it now have their place."""
        if self.pending:
            self.bind_labels(hold == AGAIN)
        self.words += word
        self.origins.append(origin)
        if hold >= 0:
            self.last = self.time
            self.hold = hold
            self.time += hold
            self.repeatable = True
        elif hold == AGAIN:
            self.last += span
            self.time = self.last + self.hold
            self.repeatable = False
        elif hold == RESTART:
            self.time = 0
            self.repeatable = False

    def bind_labels(self, repeat: bool = False) -> None:
        """Give the waiting labels the next word; on a repeat they are worth the latest issue."""
        word, time = len(self.origins), self.last if repeat else self.time
        for name in self.pending:
            self.labels[name] = self.labels[name]._replace(word=word, time=time)
        self.pending.clear()


class Want(NamedTuple):
    """An expectation: operand `field` of a word is to come from what `text` names.

    `streams` is how many streams the operand takes; the rest says where the text stands.
    """

    section: Section
    word: int
    field: str
    streams: int
    text: str
    at: int
    frame: Frame
    line: int
    raw: str


WantFields = tuple[Section, int, str, int, str, int, Frame, int, str]  # a Want, not yet named
