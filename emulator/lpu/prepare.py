"""Decode a program once: its words as numpy columns, bound to the queues of one chip.

Every column is named after the table's field, so there is no second list of fields or mnemonics.
Whatever can be said about a program without running it (units, ranges, repetitions, formats) is
checked here; what is wrong comes back as `Prepared.faults`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.bits import cut
from emulator.distinct import distinct
from emulator.lpu.checks import Checks, Report
from emulator.lpu.chip import LpuChip
from emulator.lpu.expected import OPERANDS, Expected
from emulator.result import Hazard
from isa.fields import WORD_BYTES, Imm, IntField, OperandField
from isa.lpu import IMM, LPU
from isa.program import Program
from isa.table import OPCODE, DecodeError, Row

Column = NDArray[np.int64]

# One row per instruction that issues; `nop` and `repeat` are folded into it. The layout is the
# C struct Op of _state.pxi: the 8-byte members first, so there is no padding.
WIDE = ("wait", "n", "d", "n2", "d2", "stride", "stride2", "value")
NARROW = (
    "code", "queue", "column", "section", "word", "type", "to", "dst", "a", "b", "c", "width",
    "sat", "start", "emit", "wrap", "rows", "lanes", "hold", "skew", "latency", "planes",
    "expect_a", "expect_b", "expect_c", "entries",
)  # fmt: skip
OP = np.dtype([(n, np.int64) for n in WIDE] + [(n, np.int32) for n in NARROW])

_CONTROL = ("nop", "repeat")
_SINGLE = ("sync", "notify")
INFINITY = 0x7F800000  # in fp32; what is greater is no number
TRANSPOSED = 16  # streams that a transpose takes and drives


@dataclass(frozen=True)
class Prepared:
    """A decoded program.

    `ops` has one `OP` row per instruction, section by section; `bounds[q]` is the half-open range
    of rows of queue q. `entries` [n, 16] int8 are the tables of ``distribute``. Expected producers
    are in three levels: ``ops["expect_a"]`` indexes `expect_operands` [n, 2] (first stream list,
    how many), that indexes `expect_streams` [n, 2] (first producer, how many), that indexes the
    sorted op numbers in `expect_producers`.
    """

    program: Program
    chip: LpuChip
    ops: NDArray[Any]
    bounds: NDArray[np.int64]
    entries: NDArray[np.int8]
    expect_operands: NDArray[np.int32]
    expect_streams: NDArray[np.int32]
    expect_producers: NDArray[np.int32]
    faults: tuple[Hazard, ...]

    @property
    def addresses_are_data(self) -> bool:
        """Whether some SRAM address comes from a stream, so timing needs values."""
        codes = [LPU.by_name[name].code for name in ("gather", "scatter")]
        return bool(np.isin(self.ops["code"], codes).any())


def prepare(program: Program, chip: LpuChip) -> Prepared:
    """Decode and check `program` for `chip`. Faults are collected, never raised."""
    return _Decoder(program, chip).run()


class _Decoder:
    def __init__(self, program: Program, chip: LpuChip) -> None:
        self.program, self.chip = program, chip
        self.faults: list[Hazard] = []

    def fault(self, kind: str, section: int, word: int, message: str) -> None:
        where = (self.program.sections[section].name, int(word))
        text = f"{self.program.place(where)}: {message}"
        self.faults.append(Hazard(kind=kind, severity="error", message=text, cycle=0, where=where))

    def _fault_of(self, ops: NDArray[Any]) -> Report:
        def report(kind: str, op: int, message: str) -> None:
            self.fault(kind, int(ops["section"][op]), int(ops["word"][op]), message)

        return report

    def run(self) -> Prepared:
        self._sections()
        self._words()
        ops = self._ops()
        if not self.faults:
            Checks(self.chip, ops, self._fault_of(ops)).run()
        expects = self._expects(ops)
        bounds = np.zeros((len(self.chip.queues), 2), np.int64)
        for s, q in enumerate(self.queue_of):
            if q >= 0:
                bounds[q] = np.searchsorted(ops["section"], [s, s + 1])
        return Prepared(
            self.program, self.chip, ops, bounds, self.entries, *expects, tuple(self.faults)
        )

    # ---- words -------------------------------------------------------------------------------

    def _sections(self) -> None:
        numbers = {name: q for q, name in enumerate(self.chip.queues)}
        seen: set[str] = set()
        self.queue_of: list[int] = []
        for section in self.program.sections:
            q = numbers.get(section.name, -1)
            if q < 0 or section.name in seen:
                near = difflib.get_close_matches(section.name, numbers, 1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                twice = section.name in seen
                what = "appears twice" if twice else f"is no queue of {self.chip.name}{hint}"
                self.faults.append(
                    Hazard(kind="section", severity="error", cycle=0,
                           message=f"section '{section.name}' {what}")
                )  # fmt: skip
                q = -1
            seen.add(section.name)
            self.queue_of.append(q)

    def _words(self) -> None:
        """All words of all sections, one after another, as two uint64 halves."""
        raw = []
        for i, s in enumerate(self.program.sections):
            if len(s.words) % WORD_BYTES:
                self.fault("encoding", i, len(s), f"{s.name} is no whole number of words")
            whole = len(s) * WORD_BYTES
            raw.append(np.frombuffer(s.words[:whole], "<u8").reshape(-1, 2))
        counts = [len(r) for r in raw]
        words = np.concatenate(raw) if raw else np.zeros((0, 2), "<u8")
        self.low, self.high = words[:, 0], words[:, 1]
        self.section = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        starts = np.cumsum([0, *counts])[:-1]
        self.word = np.arange(len(words), dtype=np.int64) - np.repeat(starts, counts)
        self.code = self._field(OPCODE.lo, OPCODE.width, slice(None))
        self._check_words(words)

    def _field(self, lo: int, width: int, at: Any, signed: bool = False) -> Column:
        value: Column = cut(self.low[at], self.high[at], lo, width).astype(np.int64)
        if signed:
            value -= (value >> (width - 1) & 1) << width
        return value

    def _check_words(self, words: NDArray[np.uint64]) -> None:
        """Every word decodes; words that differ only in a free number are checked once."""
        clear = np.full((256, 2), 0xFFFFFFFFFFFFFFFF, np.uint64)
        for row in LPU.rows:
            mask = 0
            for f in row.fields:
                free = isinstance(f, IntField) and f.least is None and f.most is None
                if free and f.name in (row.strided, "n", "n2", "stride", "stride2"):
                    mask |= f.mask
            clear[row.code] = [~mask & 0xFFFFFFFFFFFFFFFF, ~(mask >> 64) & 0xFFFFFFFFFFFFFFFF]
        kept = words & clear[self.code]
        kept[self._immediate(), 1] &= np.uint64(~(IMM.mask >> 64) & 0xFFFFFFFFFFFFFFFF)
        for i in sorted(distinct(kept[:, 0], kept[:, 1]).tolist()):
            word = int(self.low[i]) | int(self.high[i]) << 64
            try:
                instruction = LPU.decode(word)
            except DecodeError as error:
                self.fault("encoding", int(self.section[i]), int(self.word[i]), str(error))
                continue
            q = self.queue_of[int(self.section[i])]
            unit = instruction.row.unit
            if q >= 0 and unit not in ("*", self.chip.queue_unit(self.chip.queues[q])):
                self.fault("unit", int(self.section[i]), int(self.word[i]),
                           f"{instruction.name} runs on a {unit} queue,"
                           f" not on {self.chip.queues[q]}")  # fmt: skip

    def _immediate(self) -> Column:
        """The words whose immediate is used, and a number: then it does not matter which."""
        found = []
        bits = self._field(IMM.lo, IMM.width, slice(None)) & 0x7FFFFFFF
        for row in LPU.rows:
            at = np.flatnonzero(self.code == row.code) if IMM in row.fields else np.zeros(0, int)
            if not len(at):
                continue
            used = np.zeros(len(at), bool)
            for f in row.fields:
                if isinstance(f, OperandField) and not f.destination:
                    used |= self._field(f.lo, f.width, at) == f.encode(Imm(0))
            found.append(at[used & (bits[at] <= INFINITY)])
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    # ---- instructions --------------------------------------------------------------------------

    def _ops(self) -> NDArray[Any]:
        """Fold nops and repeats into the instructions they belong to."""
        by_name = LPU.by_name
        nop = self.code == by_name["nop"].code
        repeat = self.code == by_name["repeat"].code
        real = np.flatnonzero(~(nop | repeat))
        ops = np.zeros(len(real), OP)
        ops["section"], ops["word"] = self.section[real], self.word[real]
        ops["code"] = self.code[real]
        queues = np.array(self.queue_of or [0], np.int64)
        ops["queue"] = queues[ops["section"]] if len(real) else 0
        columns = np.array([self.chip.queue_column(q) for q in self.chip.queues], np.int64)
        ops["column"] = columns[ops["queue"]]
        self._waits(ops, nop, real)
        self._bursts(ops, repeat, real)
        for name in ("expect_a", "expect_b", "expect_c", "entries"):
            ops[name] = -1
        ops["hold"], ops["planes"] = 1, 1
        self.entries = np.zeros((0, 16), np.int8)
        for row in LPU.rows:
            at = np.flatnonzero(ops["code"] == row.code)
            if len(at) and row.name not in _CONTROL:
                self._fill(ops, row, at, real[at])
        return ops

    def _waits(self, ops: NDArray[Any], nop: NDArray[np.bool_], real: Column) -> None:
        idle = np.where(nop, self._field(8, LPU.by_name["nop"].by_name["n"].width, slice(None)), 0)
        before = np.cumsum(idle) - idle
        if len(real):
            at = before[real]
            # The first instruction of a section counts from the section's first word.
            first = np.searchsorted(self.section, ops["section"])
            start = before[first] if len(before) else at
            previous = np.concatenate([[0], at[:-1]])
            fresh = np.concatenate([[True], ops["section"][1:] != ops["section"][:-1]])
            ops["wait"] = at - np.where(fresh, start, previous)

    def _bursts(self, ops: NDArray[Any], repeat: NDArray[np.bool_], real: Column) -> None:
        """Attach each repeat to the instruction just before it."""
        at = np.flatnonzero(repeat)
        row = LPU.by_name["repeat"]
        ops["d"] = ops["d2"] = 1
        if not len(at):
            return
        position = np.searchsorted(real, at - 1)
        good = (at > 0) & (self.section[at - 1] == self.section[at])
        good &= np.isin(at - 1, real, assume_unique=True)
        for name in _SINGLE:
            good &= self.code[at - 1] != LPU.by_name[name].code
        for i in at[~good].tolist():
            self.fault("repeat", int(self.section[i]), int(self.word[i]),
                       "repeat stands right after the instruction that it repeats, and that is no"
                       " nop, repeat, sync or notify")  # fmt: skip
        at, position = at[good], position[good]
        for f in row.fields:
            signed = isinstance(f, IntField) and f.signed
            ops[f.name][position] = self._field(f.lo, f.width, at, signed)

    def _fill(self, ops: NDArray[Any], row: Row, at: Column, words: Column) -> None:
        """The columns of all instructions of one row."""
        for f in row.fields:
            if f.name == "entries":
                flat = [self._field(f.lo + 5 * i, 5, words) for i in range(16)]
                ops["entries"][at] = len(self.entries) + np.arange(len(at))
                self.entries = np.concatenate([self.entries, np.stack(flat, 1).astype(np.int8)])
                continue
            signed = isinstance(f, IntField) and f.signed
            values = self._field(f.lo, f.width, words, signed)
            name = "value" if f.name == row.strided else f.name
            if name in WIDE + NARROW:
                ops[name][at] = values
            elif f.name != "imm":
                raise AssertionError(f"no column for {row.name}.{f.name}")
        ops["width"][at] = 1 << ops["width"][at]
        if row.timing:
            ops["latency"][at] = self.chip.latency[row.timing]
            ops["skew"][at] = self.chip.skew.get(row.timing, 0)

    # ---- expected producers ------------------------------------------------------------------

    def _expects(
        self, ops: NDArray[Any]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        expects = self.program.expects
        if isinstance(expects, Expected):
            tables = self._expected(ops, expects)
            if tables is not None:
                return tables
        names = [s.name for s in self.program.sections]
        where = zip(ops["section"].tolist(), ops["word"].tolist(), strict=True)
        number = {}
        if expects:
            number = {(names[section], word): i for i, (section, word) in enumerate(where)}
        operands: list[tuple[int, int]] = []
        streams: list[tuple[int, int]] = []
        producers: list[int] = []
        # Builders share the tuples between words; sharing them here keeps the tables small.
        known_operand: dict[int, int] = {}
        known_stream: dict[int, tuple[int, int]] = {}
        alive = []  # an id is only a name as long as its object is there
        for (section, word, operand), wanted in expects.items():
            op = number.get((section, word))
            if op is None or operand not in ("a", "b", "c"):
                message = f"expected producers of {section} word {word}, operand {operand}: no such"
                self.faults.append(
                    Hazard(kind="producer", severity="error", message=message, cycle=0)
                )
                continue
            alive.append(wanted)
            if id(wanted) not in known_operand:
                rows = []
                for allowed in wanted:
                    if id(allowed) not in known_stream:
                        found = sorted(number.get(p, -1) for p in allowed)
                        known_stream[id(allowed)] = (len(producers), len(found))
                        producers += found
                    rows.append(known_stream[id(allowed)])
                known_operand[id(wanted)] = len(operands)
                operands.append((len(streams), len(rows)))
                streams += rows
            ops[f"expect_{operand}"][op] = known_operand[id(wanted)]
        return (
            np.array(operands, np.int32).reshape(-1, 2),
            np.array(streams, np.int32).reshape(-1, 2),
            np.array(producers, np.int32),
        )

    def _expected(
        self, ops: NDArray[Any], expects: Expected
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]] | None:
        """The same from arrays; None where they are not about these words."""
        sections = self.program.sections
        if [s.name for s in sections] != list(expects.sections):
            return None
        counts = np.array([len(s) for s in sections], np.int64)
        starts = np.cumsum(counts) - counts
        number = np.full(counts.sum(), -1, np.int64)
        number[starts[ops["section"]] + ops["word"]] = np.arange(len(ops))
        every = np.concatenate([expects.words[:, :2], expects.producers])
        if (every[:, 1] >= counts[every[:, 0]]).any():
            return None
        op, producer = np.split(number[starts[every[:, 0]] + every[:, 1]], [len(expects.words)])
        if (op < 0).any():
            return None
        for i, operand in enumerate(OPERANDS):
            at = expects.words[:, 2] == i
            ops[f"expect_{operand}"][op[at]] = expects.wants[at]
        stream = np.repeat(np.arange(len(expects.streams)), expects.streams[:, 1])
        producers = producer[np.lexsort((producer, stream))]
        tables = (expects.lists, expects.streams, producers)
        operands, streams, numbers = (table.astype(np.int32) for table in tables)
        return operands, streams, numbers
