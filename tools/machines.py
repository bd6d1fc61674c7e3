"""Which modules serve a machine class; the only place that knows them by name.

A class ``lpu`` has ``emulator.lpu.chip.load``, ``emulator.lpu.machine.Machine`` and an instruction
table ``isa.lpu.LPU``. A further class brings the same three and is found by its name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from emulator.chip import CHIP_DIRECTORY, ChipError, chip_names, chip_path, read_tables
from isa.fields import WORD_BYTES
from tools.problem import suggestion

if TYPE_CHECKING:
    from isa.program import Program
    from isa.table import InstructionSet

DEFAULT_CHIP = "lpu-lp30"


def classes() -> list[str]:
    """The machine classes that can run programs, found without importing any."""
    return sorted(path.parent.name for path in CHIP_DIRECTORY.parent.glob("*/machine.py"))


def runnable_chips() -> list[str]:
    """The shipped chips of those classes."""
    return [name for name in chip_names() if read_tables(name).get("class") in classes()]


def chip_class(tables: Mapping[str, Any], name: str) -> str:
    """The ``class`` of a chip's tables; an error where no machine of ours has it."""
    kind = tables.get("class")
    if not isinstance(kind, str) or kind not in classes():
        hint = suggestion(str(kind), classes(), "classes")
        raise ChipError(f"{chip_path(name).name}: class: no machine class '{kind}'; {hint}")
    return kind


def load_chip(name: str, overrides: Mapping[str, str] | None = None) -> Any:
    """A chip by shipped name or path, validated, with single keys overridden.

    >>> load_chip("lpu-tiny", {"clock": "500 MHz"}).clock
    500000000.0
    """
    kind = chip_class(read_tables(name, overrides), name)
    return importlib.import_module(f"emulator.{kind}.chip").load(name, overrides)


def machine(chip: Any) -> ModuleType:
    """The module with the ``Machine`` and the ``HazardError`` of a chip's class."""
    return importlib.import_module(f"emulator.{chip.chip_class}.machine")


def instruction_set(isa: str) -> InstructionSet:
    """The table that a program's words decode by."""
    return cast("InstructionSet", getattr(importlib.import_module(f"isa.{isa}"), isa.upper()))


def word_text(program: Program, section: str, word: int) -> str:
    """The disassembled instruction of a program word."""
    table = instruction_set(program.isa)
    code = program.section(section).words[WORD_BYTES * word : WORD_BYTES * (word + 1)]
    return table.print(table.decode(int.from_bytes(code, "little")))
