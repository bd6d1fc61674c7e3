"""Decode an NPU program once: its words as rows of the C struct Op, checked against one chip.

Whatever can be said about a program without running it (sections, pipes, targets, formats, paths)
is checked here; what is wrong comes back as `Prepared.faults`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.npu import simt
from emulator.npu.chip import NpuChip
from emulator.npu.functions import timing
from emulator.npu.words import Words
from emulator.result import Hazard
from isa.fields import WORD_BYTES
from isa.npu import FUNCTION_KINDS, NPU, PIPES, SECTION_UNITS, TYPES, section_holds, section_kind
from isa.npu_columns import columns, raw_values
from isa.program import Program
from isa.table import DecodeError, Instruction

_WIDE, _NARROW = columns()
OP = np.dtype([(n, np.int64) for n in _WIDE] + [(n, np.int32) for n in _NARROW])

# What each kind of sub-core has; "all" is the scalar unit's barrier.
PIPES_OF = {
    "core.cube": ("scalar", "mte1", "mte2", "m", "fix", "all"),
    "core.vector": ("scalar", "mte2", "mte3", "v", "all"),
}
CORE_SECTIONS = ("core.cube", "core.vector")


@dataclass(frozen=True)
class Prepared:
    """A decoded program.

    `ops` holds the words of all sections, one after another. `sections` are the (first, end) rows
    of the cube's and of the vectors' program, (-1, -1) where there is none; `functions` the (first,
    end, is SIMT, times are fixed, arguments they depend on, registers per thread of SIMT) of the
    functions in order, see `functions.timing`; `uops` the rows of SIMT functions as
    `emulator.npu.simt` decodes them, empty where there are none; `data` says that what they load
    decides where they go. `kind` is 0 for mixed blocks, 1 cube, 2 vector.
    """

    program: Program
    chip: NpuChip
    ops: NDArray[Any]
    sections: tuple[tuple[int, int], tuple[int, int]]
    functions: tuple[tuple[int, int, int, int, int, int], ...]
    uops: NDArray[Any]
    blocks: int
    data: bool
    faults: tuple[Hazard, ...]

    @property
    def kind(self) -> int:
        cube, vector = (first >= 0 for first, _ in self.sections)
        return 0 if cube and vector else 1 if cube else 2

    def where(self, row: int) -> tuple[str, int] | None:
        """(section, word) of a row."""
        if not 0 <= row < len(self.ops):
            return None
        return self.program.sections[self.ops["section"][row]].name, int(self.ops["word"][row])


def prepare(program: Program, chip: NpuChip) -> Prepared:
    """Decode and check `program` for `chip`. Faults are collected, never raised."""
    return _Decoder(program, chip).run()


class _Decoder:
    def __init__(self, program: Program, chip: NpuChip) -> None:
        self.program, self.chip = program, chip
        self.faults: list[Hazard] = []
        self.functions = [s for s in program.sections if section_kind(s.name) in FUNCTION_KINDS]

    def fault(self, where: tuple[str, int] | None, message: str) -> None:
        text = f"{self.program.place(where)}: {message}" if where else message
        self.faults.append(
            Hazard(kind="program", severity="error", message=text, cycle=0, where=where)
        )

    def run(self) -> Prepared:
        starts = self._sections()
        count = sum(len(s) for s in self.program.sections)
        ops = np.zeros(count, OP)
        if self.faults or not self._all_at_once(ops):
            ops = np.zeros(count, OP)
            self._one_by_one(ops)
        blocks = self.program.meta.get("blocks", 1)
        if not isinstance(blocks, int) or not 1 <= blocks < 1 << 31:
            self.fault(None, f"the number of blocks is {blocks!r}; at least 1")
            blocks = 1
        none = (-1, -1)
        cube, vector = (starts.get(name, none) for name in CORE_SECTIONS)
        if cube == vector == none:
            self.fault(None, "the program has neither a section core.cube nor core.vector")
        codes = {} if self.faults else self._simt(ops, starts)
        functions = tuple(
            (
                *starts[s.name],
                int(s.name in codes),
                *timing(ops, *starts[s.name]),
                codes[s.name].registers if s.name in codes else 0,
            )
            for s in self.functions
        )
        uops = np.zeros(count if codes else 0, simt.UOP)
        for name, code in codes.items():
            uops[slice(*starts[name])] = code.uops
        self._arguments(codes)
        return Prepared(
            self.program, self.chip, ops, (cube, vector), functions, uops, blocks,
            any(code.data for code in codes.values()), tuple(self.faults),
        )  # fmt: skip

    def _sections(self) -> dict[str, tuple[int, int]]:
        """The rows of each section."""
        starts: dict[str, tuple[int, int]] = {}
        at = 0
        for section in self.program.sections:
            self._section(section.name, starts)
            starts[section.name] = (at, at + len(section))
            at += len(section)
        return starts

    def _section(self, name: str, before: Collection[str]) -> None:
        if not section_kind(name):
            known = ", ".join([*CORE_SECTIONS, "simd.NAME", "simt.NAME"])
            self.fault(None, f"section '{name}' is none of {known}")
        elif name in before:
            self.fault(None, f"section '{name}' appears twice")

    def _all_at_once(self, ops: NDArray[Any]) -> bool:
        """Decode and check all words; False where one is wrong, which is left to `_one_by_one`."""
        if any(len(section.words) % WORD_BYTES for section in self.program.sections):
            return False
        words = Words(self.program)
        kinds = words.fill(ops)
        if kinds is None:
            return False
        found = np.zeros(len(kinds.first), OP)
        for op, i in zip(found, kinds.first.tolist(), strict=True):
            number = int(words.section[i])
            name = self.program.sections[number].name
            self._word(op, name, number, int(words.word[i]), words.bits(i))
        if self.faults:
            return False
        for column in ("pipe", "latency", "interval"):
            ops[column] = found[column][kinds.of]
        return True

    def _one_by_one(self, ops: NDArray[Any]) -> None:
        """The same, word by word, so that what is wrong comes in order."""
        self.faults.clear()
        before: set[str] = set()
        at = 0
        for number, section in enumerate(self.program.sections):
            self._section(section.name, before)
            before.add(section.name)
            for word, bits in enumerate(section):
                self._word(ops[at + word], section.name, number, word, bits)
            at += len(section)

    def _simt(self, ops: NDArray[Any], starts: dict[str, tuple[int, int]]) -> dict[str, simt.Code]:
        """The SIMT functions, decoded once more for their engine."""
        return {
            s.name: simt.decode(list(s), ops, starts[s.name][0])
            for s in self.functions
            if section_kind(s.name) == "simt"
        }

    def _arguments(self, codes: dict[str, simt.Code]) -> None:
        """Every call passes what its function reads."""
        for section in self.program.sections:
            for word, bits in enumerate(section if section.name in CORE_SECTIONS and codes else ()):
                if bits & 0xFF != NPU.row("vcall").code:
                    continue
                call = NPU.decode(bits)
                name = self.functions[call["fn"]].name
                if name in codes and call["count"] < codes[name].arguments:
                    self.fault((section.name, word), f"function {name} reads u0 to"
                               f" u{codes[name].arguments - 1}; the call passes {call['count']}"
                               " arguments")  # fmt: skip

    def _word(self, op: Any, name: str, section: int, word: int, bits: int) -> None:
        where = (name, word)
        op["section"], op["word"] = section, word
        try:
            instruction = NPU.decode(bits)
        except DecodeError as error:
            self.fault(where, str(error))
            return
        row = instruction.row
        if section_kind(name) and not section_holds(name, row):
            homes = [kind for kind, units in SECTION_UNITS.items() if row.unit in units]
            self.fault(where, f"{row.name} belongs into {' or '.join(homes)}, not into {name}")
            return
        op["code"] = row.code
        for f in row.fields:
            for column, value in raw_values(f, (bits & f.mask) >> f.lo).items():
                op[column] = value
        self._timing(op, instruction)
        self._pipe(op, instruction, where)
        self._operands(instruction, where)

    def _timing(self, op: Any, instruction: Instruction) -> None:
        """Latency and interval, of the operand's type where the chip tells them apart."""
        key = instruction.row.timing
        types = [str(instruction["type"])] if "type" in instruction.row.by_name else []
        for column, table, default in (
            ("latency", self.chip.latency, 1),
            ("interval", self.chip.interval, 1),
        ):
            typed = [table[f"{key}.{t}"] for t in types if f"{key}.{t}" in table]
            op[column] = typed[0] if typed else table.get(key, default)

    def _pipe(self, op: Any, instruction: Instruction, where: tuple[str, int]) -> None:
        row, kind = instruction.row, section_kind(where[0])
        if kind not in PIPES_OF:
            return
        pipe = str(instruction[row.pipe[1:]]) if row.pipe.startswith("@") else row.pipe
        for used in [pipe, *(str(instruction[n]) for n in ("src", "dst") if _is_pipe(row.name, n))]:
            if used not in PIPES_OF[kind]:
                have = ", ".join(PIPES_OF[kind][:-1])
                self.fault(where, f"a {kind[5:]} sub-core has no pipe {used}; it has {have}")
                return
        if row.name in ("set_flag", "wait_flag") and instruction["src"] == instruction["dst"]:
            self.fault(where, f"{pipe} is in order: it needs no flag to itself")
        op["pipe"] = PIPES.get(pipe, 0)

    def _operands(self, instruction: Instruction, where: tuple[str, int]) -> None:
        row, chip = instruction.row, self.chip
        if "target" in row.by_name:
            words = len(self.program.section(where[0]))
            if not 0 <= instruction["target"] <= words:
                self.fault(where, f"target {instruction['target']} is outside the section")
        if row.name == "mmad" and instruction["type"] not in chip.cube.k0:
            granted = ", ".join(chip.dtypes)
            self.fault(where, f"{chip.name} does not multiply {instruction['type']}; it grants"
                       f" {granted}")  # fmt: skip
        if row.name == "fix" and instruction["space"] == "ub" and chip.cube.l0c_ub is None:
            self.fault(where, f"{chip.name} has no path from L0C to UB; go through global memory")
        if row.name == "store" and instruction["space"] == "l1" and chip.dma.ub_l1 is None:
            self.fault(where, f"{chip.name} has no path from UB to L1; go through global memory")
        if row.name == "tpush":
            self._meeting(int(instruction["target"]), where)
        if row.name == "tatom" and (instruction["op"] == "cas") != (instruction["c"] is not None):
            self.fault(where, "cas takes c=, the value to store; other atomics do not")
        if row.name == "vcall":
            self._call(int(instruction["fn"]), where)

    def _meeting(self, target: int, where: tuple[str, int]) -> None:
        section = self.program.section(where[0])
        code = section.words[target * WORD_BYTES : target * WORD_BYTES + 1]
        if 0 <= target < len(section) and code[0] != NPU.row("tpop").code:
            self.fault(where, f"tpush names word {target}, which is no tpop")

    def _call(self, number: int, where: tuple[str, int]) -> None:
        if number >= len(self.functions):
            self.fault(where, f"function {number} is not there; there are {len(self.functions)}")
        elif self.functions[number].name.startswith("simt.") and self.chip.simt is None:
            self.fault(where, f"{self.chip.name} has no SIMT mode")


def _is_pipe(name: str, field: str) -> bool:
    """Whether the instruction's field names a pipe."""
    return (name, field) in {
        ("set_flag", "src"), ("set_flag", "dst"), ("wait_flag", "src"), ("wait_flag", "dst"),
        ("xset", "src"), ("xwait", "dst"),
    }  # fmt: skip


def k0_by_type(chip: NpuChip) -> dict[int, int]:
    """Type code -> k per cycle."""
    return {TYPES[name]: k for name, k in chip.cube.k0.items()}
