"""The machine classes that there is an assembler for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isa.asm.target import AGAIN, RESTART, Target
from isa.fields import FieldError, near
from isa.lpu import LPU
from isa.npu import FUNCTION_KINDS, NPU, SECTION_UNITS, section_kind
from isa.npu_fields import REGISTER
from isa.table import BYTES_OF, Instruction, Row

WEIGHT_STREAMS = 16  # streams that an lw takes; see its row in the table


class LpuTarget(Target):
    """The stream processor: queues, one instruction per cycle, nothing waits.

    What it asks of a chip, as far as it is there: ``queues``, ``queue_unit(queue)``, ``lanes``,
    ``latency`` (timing key -> cycles), ``queue_column(queue)``, ``mem.words`` and
    ``mxm.modes[type].cycles_per_mm``.
    """

    name = "lpu"
    isa = LPU
    sections = ("queue",)
    noun = "queue"
    timed = True
    registers = re.compile(r"[as][0-9]+|s[0-9]+\.[ew]|_")
    varying = frozenset({"nop", "lw", "repeat"})

    def section_name(self, directive: str, name: str) -> str:
        return name

    def heading(self, section: str) -> tuple[str, str]:
        return "queue", section

    def _queues(self) -> tuple[str, ...]:
        return tuple(getattr(self.info, "queues", ()))

    def section_problem(self, section: str) -> tuple[str, str] | None:
        queues = self._queues()
        if self.info is None or section in queues:
            return None
        return f"{self.info.name} has no queue '{section}'", near(section, queues)

    def kind(self, section: str) -> str:
        """The queue's unit, as the table writes it."""
        unit: Callable[[str], str] | None = getattr(self.info, "queue_unit", None)
        return unit(section) if unit and section in self._queues() else ""

    def holds(self, kind: str, row: Row) -> bool:
        return row.unit in ("*", kind)

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


class NpuTarget(Target):
    """The HBM chip: programs of cores and functions, which branch; nothing is placed in time."""

    name = "npu"
    isa = NPU
    sections = ("core", *FUNCTION_KINDS)
    registers = re.compile(REGISTER.pattern + "|_")
    forward = True
    flat = True
    jumps = frozenset({"target"})

    def section_problem(self, section: str) -> tuple[str, str] | None:
        if section_kind(section):
            return None
        cores = [name.partition(".")[2] for name in SECTION_UNITS if name.startswith("core.")]
        name = section.partition(".")[2]
        return f"a core is {' or '.join(cores)}, not '{name}'", near(name, cores)

    def kind(self, section: str) -> str:
        return section_kind(section)

    def holds(self, kind: str, row: Row) -> bool:
        return row.unit in SECTION_UNITS.get(kind, ())

    def section_value(self, name: str, sections: Sequence[str]) -> int | None:
        """A function's name is its number, which ``vcall`` takes."""
        functions = [s for s in sections if section_kind(s) in FUNCTION_KINDS]
        found = [i for i, s in enumerate(functions) if s.partition(".")[2] == name]
        return found[0] if found else None


TARGETS: dict[str, type[Target]] = {"lpu": LpuTarget, "npu": NpuTarget}
SECTION_DIRECTIVES = {
    directive: name for name, target in TARGETS.items() for directive in target.sections
}
