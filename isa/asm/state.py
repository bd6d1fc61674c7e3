"""What the assembler keeps while it reads: expectations to be resolved; the rest is compiled."""

from __future__ import annotations

from typing import NamedTuple

from isa.asm._sections import Deferred, Label, Section
from isa.asm.source import Frame


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

__all__ = ["Deferred", "Label", "Section", "Want", "WantFields"]
