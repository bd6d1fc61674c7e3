"""What the assembler must know of a machine class, and where it asks for a chip's facts.

`isa` knows no chip. The caller passes an object with the few facts that matter (`MachineInfo`); an
emulator's chip has them. Without one, what depends on the chip is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from isa.fields import FlagField
from isa.table import Instruction, InstructionSet, Row

AGAIN, RESTART = -1, -2  # instead of a hold: a repeat; a wait after which time begins anew


class MachineInfo(Protocol):
    """A chip. ``chip_class`` tells the machine class where it is there (else it is ``lpu``)."""

    @property
    def name(self) -> str: ...


class Target:
    """A machine class as the assembler sees it; a subclass plugs in another one.

    `sections` are the directives that begin a section. `timed` says that instructions issue in
    known cycles, so that ``@CYCLE`` can place them; `forward` that an operand may name a symbol or
    label before it has a value (then no time may depend on it); `flat` that tensors lie in one
    memory and ``at=`` is an address.
    """

    name = ""
    isa: InstructionSet
    sections: tuple[str, ...] = ()
    noun = "section"  # what people call one
    registers = re.compile(r"(?!)")
    timed = False
    forward = False
    flat = False
    varying: frozenset[str] = frozenset()  # rows whose timing depends on integer operands
    jumps: frozenset[str] = frozenset()  # fields that hold the index of a word of their section

    def __init__(self, info: MachineInfo | None = None) -> None:
        self.info = info
        fields = [f for row in self.isa.rows for f in row.fields]
        self.flags = {f.name for f in fields if isinstance(f, FlagField)}

    def section_name(self, directive: str, name: str) -> str:
        """The full name of a section, as the program has it."""
        return f"{directive}.{name}"

    def heading(self, section: str) -> tuple[str, str]:
        """Directive and name that begin a section; inverse of `section_name`."""
        directive, _, name = section.partition(".")
        return directive, name

    def section_problem(self, section: str) -> tuple[str, str] | None:
        """What is wrong with a section's name, and a hint; None where nothing is."""
        raise NotImplementedError

    def kind(self, section: str) -> str:
        """What decides which rows the section may hold; "" if unknown."""
        raise NotImplementedError

    def holds(self, kind: str, row: Row) -> bool:
        """Whether a section of that kind may hold the row."""
        raise NotImplementedError

    def timing(self, instruction: Instruction) -> tuple[int, int]:
        """Cycles until the section's next instruction may issue (or AGAIN or RESTART), and span.

        The span of a repeat is the time from the repeated instruction to its last issue.
        """
        return 1, 0

    def idle(self, cycles: int) -> list[Instruction]:
        """Instructions that do nothing for so many cycles."""
        raise NotImplementedError

    def label_value(self, index: int, time: int) -> int:
        """What a label is worth in an expression."""
        return index

    def section_value(self, name: str, sections: Sequence[str]) -> int | None:
        """What the name of a section is worth in an expression, if anything."""
        return None

    def facts(self) -> dict[str, Callable[..., int | float]]:
        """The functions that expressions may use, by name."""
        return {}
