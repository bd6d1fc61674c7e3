"""Types of the compiled module: the reader of plain lines."""

from collections.abc import Iterator

from isa.asm._sections import Section
from isa.asm.assembler import Assembler
from isa.asm.source import Frame
from isa.asm.target import Target

class Reader:
    def __init__(self, asm: Assembler) -> None: ...
    def set_target(self, target: Target) -> None: ...
    def read(self, cursor: Iterator[tuple[int, str]], frame: Frame) -> str | None: ...
    def compose_text(
        self, section: Section, raw: str, at: int, end: int
    ) -> tuple[bytes, int, int, list[tuple[str, int, str, int]]] | None: ...
