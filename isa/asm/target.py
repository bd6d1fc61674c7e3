"""What the assembler must know of a machine class, and where it asks for a chip's facts.

`isa` knows no chip. The caller passes an object with the few facts that matter (`MachineInfo`); an
emulator's chip has them. Without one, queue names and units are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from isa.fields import FieldError, near
from isa.lpu import LPU
from isa.table import BYTES_OF, Instruction, InstructionSet

WEIGHT_STREAMS = 16  # streams that an lw takes; see its row in the table
AGAIN, RESTART = -1, -2  # instead of a hold: a repeat; a wait after which time begins anew


class MachineInfo(Protocol):
    """The facts of a chip that every machine class has.

    What else a target uses if it is there (LPU): ``lanes``, ``latency`` (timing key -> cycles),
    ``queue_column(queue)``, ``mxm.modes[type].cycles_per_mm`` and ``mem.words``.
    """

    @property
    def name(self) -> str: ...

    @property
    def queues(self) -> tuple[str, ...]: ...

    def queue_unit(self, queue: str, /) -> str: ...


class Target:
    """A machine class as the assembler sees it; subclass it to plug in another one.

    `sections` are the directives that begin a section; `forward` says that an operand may name a
    symbol or label before it has a value (no time depends on it then).
    """

    name = ""
    isa: InstructionSet
    sections: tuple[str, ...] = ()
    registers = re.compile(r"(?!)")
    forward = False
    varying: frozenset[str] = frozenset()  # rows whose timing depends on integer operands

    def __init__(self, info: MachineInfo | None = None) -> None:
        self.info = info

    def section_problem(self, directive: str, name: str) -> tuple[str, str] | None:
        """What is wrong with a section name, and a hint; None where nothing is."""
        raise NotImplementedError

    def unit(self, section: str) -> str:
        """The kind of unit that runs the section, as the table writes it; "" if unknown."""
        raise NotImplementedError

    def timing(self, instruction: Instruction) -> tuple[int, int]:
        """Cycles until the section's next instruction may issue (or AGAIN or RESTART), and span.

        The span of a repeat is the time from the repeated instruction to its last issue.
        """
        raise NotImplementedError

    def label_value(self, index: int, time: int) -> int:
        """What a label is worth in an expression."""
        return index

    def idle(self, cycles: int) -> list[Instruction]:
        """Instructions that do nothing for so many cycles."""
        raise NotImplementedError

    def facts(self) -> dict[str, Callable[..., int | float]]:
        """The functions that expressions may use, by name."""
        return {}


class LpuTarget(Target):
    """The stream processor: queues, one instruction per cycle, nothing waits."""

    name = "lpu"
    isa = LPU
    sections = ("queue",)
    registers = re.compile(r"[as][0-9]+|s[0-9]+\.[ew]|_")
    varying = frozenset({"nop", "lw", "repeat"})

    def section_problem(self, directive: str, name: str) -> tuple[str, str] | None:
        if self.info is None or name in self.info.queues:
            return None
        return f"{self.info.name} has no queue '{name}'", near(name, self.info.queues)

    def unit(self, section: str) -> str:
        if self.info is None or section not in self.info.queues:
            return ""
        return self.info.queue_unit(section)

    def timing(self, instruction: Instruction) -> tuple[int, int]:
        match instruction.name:
            case "nop":
                return int(instruction["n"]), 0
            case "lw":
                vectors = WEIGHT_STREAMS // BYTES_OF[instruction["type"]]
                return max(1, -(-int(instruction["rows"]) // vectors)), 0
            case "mm":
                return self._mm_cycles(str(instruction["type"])), 0
            case "repeat":
                value = instruction.__getitem__
                return AGAIN, value("n2") * value("d2") + value("n") * value("d")
            case "sync":
                return RESTART, 0
        return 1, 0

    def label_value(self, index: int, time: int) -> int:
        return time

    def _mm_cycles(self, dtype: str) -> int:
        modes: Mapping[str, Any] = getattr(getattr(self.info, "mxm", None), "modes", {})
        return int(getattr(modes.get(dtype), "cycles_per_mm", 1))

    def idle(self, cycles: int) -> list[Instruction]:
        most = (1 << LPU.by_name["nop"].by_name["n"].width) - 1
        full, rest = divmod(cycles, most)
        longs = [LPU.make("nop", n=most)] * full
        return longs + ([LPU.make("nop", n=rest)] if rest else [])

    # ---- facts of the chip in expressions ---------------------------------------------------

    def facts(self) -> dict[str, Callable[..., int | float]]:
        return {
            "latency": self._latency,
            "hops": self._hops,
            "column": self._column,
            "chip": self._chip,
        }

    def _fact(self, attribute: str) -> Any:
        value = getattr(self.info, attribute, None)
        if value is None:
            raise ValueError("this needs the facts of a chip; name one with .chip")
        return value

    def _latency(self, key: str) -> int:
        """``latency(vxm.add)``: cycles from issue to result."""
        table = self._fact("latency")
        if key not in table:
            raise FieldError(f"no instruction has the timing key '{key}'", hint=near(key, table))
        return int(table[key])

    def _column(self, place: str) -> int:
        """``column(mem.w0)``: the stream-register column of a queue or of a unit."""
        column = self._fact("queue_column")
        queues = self._fact("queues")
        for queue in queues:
            if queue == place or queue.startswith(place + "."):
                return int(column(queue))
        raise FieldError(f"the chip has no unit '{place}'", hint=near(place, queues))

    def _hops(self, source: str, target: str) -> int:
        """``hops(mem.w0, vxm)``: cycles that a stream travels between two units."""
        return abs(self._column(source) - self._column(target))

    def _chip(self, key: str) -> int:
        """``chip(lanes)``, ``chip(mxm.acc_rows)``: a number of the chip file."""
        value: Any = self
        for part in ("info", *key.split(".")):
            value = None if part.startswith("_") else getattr(value, part, None)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"the chip has no number '{key}'")
        return value


TARGETS: dict[str, type[Target]] = {"lpu": LpuTarget}
SECTION_DIRECTIVES = {"queue": "lpu", "core": "npu", "simd": "npu", "simt": "npu"}
