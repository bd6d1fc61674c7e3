"""Hazards as objects and as text: what happened, where, and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from emulator.lpu._engine import HazardKind
from emulator.lpu.prepare import Prepared
from emulator.result import Hazard
from isa.fields import stream_value
from isa.lpu import LPU, TYPES
from isa.program import Program

Row = tuple[int, int, int, int, int, bool, int, int, int, int]
_TYPE_NAMES = {code: name for name, code in TYPES.items()}


class HazardError(Exception):
    """A run that stopped at `hazards`, those of one cycle; `program` gives the source lines."""

    def __init__(self, hazards: Sequence[Hazard], program: Program) -> None:
        self.hazards = tuple(hazards)
        self.program = program
        super().__init__("\n".join(h.message for h in self.hazards))


# Names of hazards in results: short, fixed, and fewer than the engine's kinds.
_NAMES = {
    HazardKind.OPERAND_MISSING: "operand",
    HazardKind.CHAIN_MISSING: "operand",
    HazardKind.CHAIN_WIDTH: "operand",
    HazardKind.REGISTER_COLLISION: "collision",
    HazardKind.ALU_COLLISION: "collision",
    HazardKind.BANK_CONFLICT: "bank",
    HazardKind.WEIGHTS_IN_USE: "weights",
    HazardKind.WEIGHTS_EARLY: "weights",
    HazardKind.WEIGHTS_INCOMPLETE: "weights",
    HazardKind.WEIGHTS_SCALES: "weights",
    HazardKind.WEIGHTS_TYPE: "weights",
    HazardKind.WEIGHTS_NONE: "weights",
    HazardKind.WEIGHTS_PAIR: "weights",
    HazardKind.MEMORY_UNWRITTEN: "uninitialised",
    HazardKind.ACCUMULATOR_UNSTARTED: "uninitialised",
    HazardKind.ACCUMULATOR_TYPE: "uninitialised",
    HazardKind.RUNNING_UNSTARTED: "uninitialised",
    HazardKind.POISON: "poison",
    HazardKind.OTHER_PRODUCER: "producer",
    HazardKind.PARTNER_BUSY: "unit",
    HazardKind.MAP_MISSING: "map",
    HazardKind.MAP_EARLY: "map",
    HazardKind.ADDRESS_RANGE: "range",
    HazardKind.DEADLOCK: "deadlock",
    HazardKind.OVERWRITTEN: "overwritten",
    HazardKind.UNCONSUMED: "unconsumed",
}


class Writer:
    """Turns the engine's rows into `Hazard` objects with their texts."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.program, self.chip = prepared.program, prepared.chip

    def hazards(self, rows: Iterable[Row]) -> tuple[Hazard, ...]:
        return tuple(self._hazard(row) for row in sorted(rows, key=lambda r: (not r[5], r[6])))

    def _hazard(self, row: Row) -> Hazard:
        kind, op, other, stream, column, error, cycle, count, _, _ = row
        return Hazard(
            kind=_NAMES[HazardKind(kind)],
            severity="error" if error else "warning",
            message=self._message(row),
            cycle=cycle,
            column=None if column < 0 else column,
            stream=self._stream(stream) if stream >= 0 else None,
            where=self._where(op),
            other=None if other < 0 else self._where(other),
            count=count,
        )

    # ---- names -------------------------------------------------------------------------------

    def _where(self, op: int) -> tuple[str, int]:
        row = self.prepared.ops[op]
        return self.program.sections[int(row["section"])].name, int(row["word"])

    def _name(self, op: int) -> str:
        """``add (file:line)``: an instruction for a message about another one."""
        if op < 0:
            return "nothing"
        row = self.prepared.ops[op]
        where = self._where(op)
        at = self.program.place(where)
        queue = "" if at.startswith(where[0]) else f" on {where[0]}"
        return f"{LPU.by_code[int(row['code'])].name}{queue} ({at})"

    @staticmethod
    def _stream(raw: int) -> str:
        return f"a{raw - 64}" if raw >= 64 else str(stream_value(raw))

    def _mnemonic(self, op: int) -> str:
        return LPU.by_code[int(self.prepared.ops[op]["code"])].name

    # ---- texts -------------------------------------------------------------------------------

    def _message(self, row: Row) -> str:
        kind, op, _, stream, column, _, cycle, _, _, _ = row
        at = f"{self.program.place(self._where(op))}: cycle {cycle}"
        if column >= 0:
            at += f", column {column}"
        if stream >= 0:
            at += f", {self._stream(stream)}"
        return f"{at}: {_TEXTS[HazardKind(kind)](self, row)}"

    def operand_missing(self, row: Row) -> str:
        op, stream = row[1], row[3]
        return (
            f"{self._mnemonic(op)} finds no value on {self._stream(stream)}; its producer must"
            " drive the stream so that value and reader meet: drive cycle + columns between them"
            " = cycle of reading"
        )

    def chain_missing(self, row: Row) -> str:
        return (
            f"{self._mnemonic(row[1])} takes {self._stream(row[3])}, but that ALU delivers nothing"
            " in this cycle; issue the producer its latency earlier (results are not held)"
        )

    def chain_width(self, row: Row) -> str:
        return (
            f"{self._mnemonic(row[1])} takes {row[9]} bytes a lane from {self._stream(row[3])},"
            f" but {self._name(row[2])} delivers {row[8]}; cast, or take the right ALU"
        )

    def register_collision(self, row: Row) -> str:
        return (
            f"{self._mnemonic(row[1])} and {self._name(row[2])} drive {self._stream(row[3])} in the"
            " same register and cycle; move one of them or give it another stream"
        )

    def alu_collision(self, row: Row) -> str:
        return (
            f"{self._mnemonic(row[1])} and {self._name(row[2])} both deliver on"
            f" {self._stream(row[3])} in cycle {row[8]}; latencies differ, so issue them apart"
        )

    def bank_conflict(self, row: Row) -> str:
        return (
            f"{self._mnemonic(row[1])} and {self._name(row[2])} use one bank of the slice in the"
            f" same cycle (superlane {row[8]}); read and write at once only in different banks:"
            f" address bit {self.chip.mem.bank_bit}"
        )

    def weights_in_use(self, row: Row) -> str:
        return (
            f"iw replaces the weights while {self._name(row[2])} still uses them; install in cycle"
            f" {row[8]} or later"
        )

    def weights_early(self, row: Row) -> str:
        return (
            f"mm comes too soon after {self._name(row[2])}; the installed weights may be used from"
            f" cycle {row[8]} on"
        )

    def weights_incomplete(self, row: Row) -> str:
        state, complete = row[8], row[9]
        if state == 2:
            return "iw before lws brought the block scales of these weights; issue lws after lw"
        if state == 3:
            return "iw of a pair whose odd plane has loaded other weights; load the pair again"
        if state == 0:
            return "iw without an lw since the last iw; load weights first"
        if complete > 1 << 59:
            return f"iw before {self._name(row[2])} has loaded all of its rows"
        return f"iw before {self._name(row[2])} is complete; install in cycle {complete} or later"

    def weights_scales(self, row: Row) -> str:
        return "lws follows the completed lw whose weights it scales, in the same format"

    def weights_type(self, row: Row) -> str:
        wanted = _TYPE_NAMES[int(self.prepared.ops[row[1]]["type"])]
        if row[9] == 1:
            return "mm on the odd plane of a pair that holds 16-bit weights; use the even plane"
        if row[9] == 2:
            return f"mm.{wanted} of a pair whose odd plane has other weights; install the pair"
        return (
            f"mm.{wanted}, but the active weights are {_TYPE_NAMES[row[8]]}, loaded by"
            f" {self._name(row[2])}"
        )

    def weights_none(self, row: Row) -> str:
        return "mm on a plane in which no weights were ever installed; lw, then iw, then mm"

    def weights_pair(self, row: Row) -> str:
        return f"iw on the odd plane of a pair loaded by {self._name(row[2])}; use the even plane"

    def memory_unwritten(self, row: Row) -> str:
        if row[9] >= 0:
            return "gather reads words that nothing has written"
        return (
            f"read of word {row[8]}, which nothing has written: no tensor lies there and no write"
            f" lands by then (a write is readable {self.chip.latency['mem.write'] + 1} cycles after"
            " its issue)"
        )

    def accumulator_unstarted(self, row: Row) -> str:
        return f"mm adds to accumulator row {row[8]}, which was never started; start the first pass"

    def accumulator_type(self, row: Row) -> str:
        held = {1: "fp32", 2: "int32"}[row[9]]
        return f"mm adds to accumulator row {row[8]}, which holds {held}; start it anew"

    def running_unstarted(self, row: Row) -> str:
        if row[8]:
            held = _TYPE_NAMES[row[8] - 1]
            return f"{self._mnemonic(row[1])} continues a running value of type {held}; start anew"
        return f"{self._mnemonic(row[1])} continues a running value that was never started"

    def poison(self, row: Row) -> str:
        lanes = [i for i in range(64) if row[8] >> i & 1]
        return (
            f"{self._mnemonic(row[1])} uses lanes without a value: superlane"
            f" {', '.join(map(str, lanes))} came from words that were never written"
        )

    def other_producer(self, row: Row) -> str:
        expect, k = row[8], row[9]
        prepared = self.prepared
        lists = prepared.expect_streams[int(prepared.expect_operands[expect, 0]) + k]
        meant = prepared.expect_producers[int(lists[0]) : int(lists[0] + lists[1])]
        names = [self._name(int(p)) for p in meant[:3]] + ["..."] * (len(meant) > 3)
        taken = f"{self._mnemonic(row[1])} takes the value of {self._name(row[2])}"
        return f"{taken}; meant was {', '.join(names)}"

    def partner_busy(self, row: Row) -> str:
        return (
            f"{self._mnemonic(row[1])} while {self._name(row[2])} uses both planes of the pair;"
            f" issue it in cycle {row[8]} or later"
        )

    def map_missing(self, row: Row) -> str:
        return "permute on a queue that never loaded a map; setmap first, on the same queue"

    def map_early(self, row: Row) -> str:
        return f"permute before the map of {self._name(row[2])} works: from cycle {row[8]} on"

    def address_range(self, row: Row) -> str:
        return (
            f"{self._mnemonic(row[1])}: the map sends superlane {row[9]} to word {row[8]}; a slice"
            f" has {self.chip.mem.words}"
        )

    def deadlock(self, row: Row) -> str:
        return "sync waits for ever: no notify comes after it"

    def overwritten(self, row: Row) -> str:
        return (
            f"the value of {self._mnemonic(row[1])} (driven at column {row[9]} in cycle {row[8]})"
            f" is replaced by {self._name(row[2])} before anybody reads it"
        )

    def unconsumed(self, row: Row) -> str:
        return f"nobody reads the value that {self._mnemonic(row[1])} drove in cycle {row[8]}"


_TEXTS: dict[HazardKind, Callable[[Writer, Row], str]] = {
    kind: getattr(Writer, kind.name.lower()) for kind in HazardKind
}
