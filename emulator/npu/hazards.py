"""Hazards of the NPU as objects and as text: what happened, where, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence

from emulator.npu.prepare import Prepared
from emulator.result import Hazard
from isa.npu import NPU, PIPES, SPACES
from isa.program import Program

Row = tuple[int, ...]  # kind, row, other row, sub-core, cycle, a, b, c, count

# The engine's kinds, in the order of its enum.
KINDS = (
    "none", "capacity", "bounds", "uninitialised", "race", "flag", "deadlock", "path", "target",
    "shape", "scope", "function", "read_only", "steps", "memory", "loops", "unit",
    "alignment", "divergence", "registers", "launch", "dcache",
)  # fmt: skip
WARNINGS = ("race", "uninitialised", "flag")  # what a run can go on after
_PIPE = {number: name for name, number in PIPES.items()}
_SPACE = {number: name for name, number in SPACES.items()}
_WAITS_FLAG, _WAITS_COUNT, _WAITS_SET, _WAITS_TAKEN, _WAITS_MEMORY = range(1, 6)


class HazardError(Exception):
    """A run that stopped at hazards; `program` gives their source lines."""

    def __init__(self, hazards: Sequence[Hazard], program: Program) -> None:
        self.hazards = tuple(hazards)
        self.program = program
        super().__init__("\n".join(h.message for h in self.hazards))


class Writer:
    """Turns the engine's rows into `Hazard` objects with their texts."""

    def __init__(self, prepared: Prepared, tensors: Sequence[tuple[str, int, int]]) -> None:
        self.prepared = prepared
        self.tensors = tensors  # (name, base, size), ascending

    def hazards(self, rows: Sequence[Row]) -> tuple[Hazard, ...]:
        return tuple(self._hazard(row) for row in rows)

    def _hazard(self, row: Row) -> Hazard:
        *row_, thread = row
        kind, op, other, sub, time, *_, count = row = tuple(row_)
        name = KINDS[kind]
        where = self.prepared.where(op)
        second = self.prepared.where(other) if name == "race" else None
        who = self.sub(sub) if thread < 0 else f"{self.sub(sub)}, {self.thread(op, thread)}"
        text = f"cycle {time:,}, {who}: {getattr(self, f'_{name}')(row)}"
        if where:
            text = f"{self.prepared.program.place(where)}: {text}"
        return Hazard(kind=name, severity="error", message=text, cycle=time, where=where,
                      other=second, count=count)  # fmt: skip

    def sub(self, number: int) -> str:
        """``core 3 cube``, ``core 3 vector 1``."""
        if number < 0:
            return "all cores"
        core, part = divmod(number, 1 + self.prepared.chip.vector.per_core)
        return f"core {core} " + ("cube" if part == 0 else f"vector {part - 1}")

    def thread(self, op: int, thread: int) -> str:
        """``thread 5 of add``: a thread of the function that an instruction is in."""
        where = self.prepared.where(op)
        return f"thread {thread}" + (f" of {where[0].partition('.')[2]}" if where else "")

    def instruction(self, op: int) -> str:
        """An instruction as text, with its place."""
        where = self.prepared.where(op)
        if where is None:
            return "nothing"
        section = self.prepared.program.section(where[0])
        bits = int.from_bytes(section.words[16 * where[1] : 16 * where[1] + 16], "little")
        return f"'{NPU.print(NPU.decode(bits))}' ({self.prepared.program.place(where)})"

    def _tensor(self, address: int) -> str:
        for name, base, size in self.tensors:
            if base <= address < base + size:
                return f"byte {address - base:,} of tensor '{name}' ({size:,} bytes)"
        return f"global address {address:#x}, where no tensor lies"

    # ---- one text per kind -----------------------------------------------------------------------

    def _capacity(self, row: Row) -> str:
        _, op, _, _, _, space, needed, available, _ = row
        where = _SPACE[space].upper()
        if available == 0:
            return f"{self.instruction(op)} uses {where}, which this sub-core does not have"
        return (f"{self.instruction(op)} does not fit {where}: needed {needed:,} bytes, available"
                f" {available:,}")  # fmt: skip

    def _bounds(self, row: Row) -> str:
        _, op, _, _, _, address, size, _, _ = row
        return f"{self.instruction(op)} reaches {size:,} bytes from {self._tensor(address)}"

    def _uninitialised(self, row: Row) -> str:
        _, op, _, _, _, space, at, _, _ = row
        where = self._tensor(at) if space == 0 else f"{_SPACE[space].upper()} byte {at:,}"
        return f"{self.instruction(op)} reads {where}, which nobody has written"

    def _race(self, row: Row) -> str:
        _, op, other, _, _, space, at, threads, _ = row
        place = self._tensor(at) if space == 0 and threads == 2 else f"byte {at:,}"
        order = "no barrier orders the threads" if threads == 2 else "no flag orders them"
        return (f"race in {_SPACE[space].upper()} at {place}: {self.instruction(op)} and"
                f" {self.instruction(other)} touch it and {order}")  # fmt: skip

    def _flag(self, row: Row) -> str:
        _, _, _, _, _, source, target, number, _ = row
        return (f"flag {number} of ({_PIPE[source]}, {_PIPE[target]}) is raised while it is up:"
                " the one before has not been waited for")  # fmt: skip

    def _deadlock(self, row: Row) -> str:
        _, op, _, _, _, pipe, state, detail, _ = row
        if op < 0:
            return "deadlock: nobody can go on"
        who = f"{_PIPE[pipe]} stands at {self.instruction(op)}"
        if state == _WAITS_FLAG:
            return (f"deadlock: {who} and waits for flag {detail & 255} of"
                    f" ({_PIPE[detail >> 8]}, {_PIPE[pipe]}), which nobody raises")  # fmt: skip
        if state == _WAITS_COUNT:
            return f"deadlock: {who} and waits for counted flag {detail & 255}"
        if state == _WAITS_SET:
            return f"deadlock: {who} and waits for units that M never hands over"
        if state == _WAITS_TAKEN:
            return f"deadlock: {who} and waits for units that FIX never takes"
        return f"deadlock: {who} and waits for memory"

    def _path(self, row: Row) -> str:
        _, op, _, _, _, source, target, _, _ = row
        return (f"{self.instruction(op)}: no path from {_SPACE[source].upper()} to"
                f" {_SPACE[target].upper()} here")  # fmt: skip

    def _target(self, row: Row) -> str:
        return f"the program runs beyond its section, to word {row[5]}; does it lack an 'end'?"

    def _shape(self, row: Row) -> str:
        return f"{self.instruction(row[1])} with impossible sizes {row[5]}, {row[6]}, {row[7]}"

    def _scope(self, row: Row) -> str:
        return f"{self.instruction(row[1])}: there is no flag {row[5]}"

    def _function(self, row: Row) -> str:
        return f"{self.instruction(row[1])}: function {row[5]} cannot run on this machine"

    def _read_only(self, row: Row) -> str:
        return f"{self.instruction(row[1])} writes {self._tensor(row[5])}, which is an input"

    def _steps(self, row: Row) -> str:
        return f"{row[5]:,} scalar instructions and no end; is a loop endless?"

    def _memory(self, row: Row) -> str:
        return "the host ran out of memory"

    def _loops(self, row: Row) -> str:
        return f"{self.instruction(row[1])}: hardware loops are at most {row[5]} deep"

    def _unit(self, row: Row) -> str:
        return f"{self.instruction(row[1])} hands over more tiles than FIX can keep apart"

    def _alignment(self, row: Row) -> str:
        _, op, _, _, _, in_ub, at, size, _ = row
        where = f"UB byte {at:,}" if in_ub else f"global address {at:#x}"
        return f"{self.instruction(op)} reaches {where}, which is no multiple of {size}"

    def _divergence(self, row: Row) -> str:
        _, op, _, _, _, what, a, b, _ = row
        return self.instruction(op) + ": " + (
            f"the divergence stack has {b} entries, needed {a}",
            "no tpush is open",
            f"the innermost open tpush meets at word {a}, not at word {b}",
            f"a barrier in divergent code: {a} of the warp's {b} threads come to it",
        )[what]  # fmt: skip

    def _registers(self, row: Row) -> str:
        _, op, _, _, _, needed, available, threads, _ = row
        return (f"{self.instruction(op)}: the function needs {needed} registers per thread,"
                f" available {available} with {threads:,} threads")  # fmt: skip

    def _launch(self, row: Row) -> str:
        return f"{self.instruction(row[1])}: {row[5]:,} threads; a launch has 1 to {row[6]:,}"

    def _dcache(self, row: Row) -> str:
        _, op, _, _, _, wanted, least, most, _ = row
        return (f"{self.instruction(op)}: a D-cache of {wanted >> 10:,} KiB; it takes"
                f" {least >> 10:,} to {most >> 10:,} KiB of UB")  # fmt: skip
