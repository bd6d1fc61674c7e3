"""The words of a whole program at once: columns by shifts and masks, row by row of the table.

What makes a word an instruction, where it may stand and what it costs depends on few of its bits:
opcode, suffixes, flags, and of which kind its values are. Numbers of registers and integers are
only compared with their range. So words that differ in those alone are of one *kind*, and one of
them that is read with all care stands for the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.bits import Raw, cut
from isa.fields import IntField
from isa.npu import NPU
from isa.npu_fields import COUNTS, KIND_FLOAT, KIND_INT, MaybeRegField, RegField, ValueField
from isa.program import Program
from isa.table import Row

Column = NDArray[np.int64]

# Rows whose words are each looked at, since what their integers mean depends on other words.
SINGLE = ("tpush", "vcall")
_HALF = (1 << 64) - 1
_NAN = 0x7FC00000


class Kinds(NamedTuple):
    """`first[k]` is the number of a word of kind k, `of[i]` the kind of word i."""

    first: NDArray[np.int64]
    of: NDArray[np.int64]


class Words:
    """All words of all sections, one after another, as two halves; each section's are whole."""

    def __init__(self, program: Program) -> None:
        raw = [np.frombuffer(s.words, "<u8").reshape(-1, 2) for s in program.sections]
        words = np.concatenate(raw) if raw else np.zeros((0, 2), np.uint64)
        self.low, self.high = np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])
        self.lengths = np.array([len(r) for r in raw], np.int64)
        self.section = np.repeat(np.arange(len(raw)), self.lengths)
        starts = np.cumsum(self.lengths) - self.lengths
        self.word = np.arange(len(words)) - starts[self.section]

    def bits(self, i: int) -> int:
        """Word i as a number."""
        return int(self.low[i]) | int(self.high[i]) << 64

    def fill(self, ops: NDArray[Any]) -> Kinds | None:
        """Set the columns that come from the words; None where one is no instruction.

        Columns that follow from the kind (pipe, latency, interval) are left to the caller.
        """
        ops["section"], ops["word"] = self.section, self.word
        codes = (self.low & np.uint64(0xFF)).astype(np.int64)
        ops["code"] = codes
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(257))
        kept_low, kept_high = self.low.copy(), self.high.copy()
        for code in np.flatnonzero(np.diff(ends)).tolist():
            row = NPU.by_code.get(code)
            at = order[ends[code] : ends[code + 1]]
            if row is None or not self._row(ops, row, at, kept_low, kept_high):
                return None
        of = _numbered(self.section)
        for half in (kept_low, kept_high):
            found = _numbered(half)
            of = _numbered(of * (int(found.max(initial=0)) + 1) + found)
        first = np.zeros(int(of.max(initial=-1)) + 1, np.int64)
        first[of[::-1]] = np.arange(len(of))[::-1]
        return Kinds(first, of)

    def _row(self, ops: NDArray[Any], row: Row, at: Column, kept_low: Raw, kept_high: Raw) -> bool:
        """The columns of one row's words; what does not make their kind is cleared in `kept`."""
        low, high = self.low[at], self.high[at]
        kept = [low & np.uint64(row.used_bits & _HALF), high & np.uint64(row.used_bits >> 64)]
        if (kept[0] != low).any() or (kept[1] != high).any():
            return False
        for f in row.fields:
            raw = cut(low, high, f.lo, f.payload if isinstance(f, ValueField) else f.width)
            values = raw.astype(np.int64)
            free = f.mask
            match f:
                case ValueField():
                    kinds = cut(low, high, f.lo + f.payload, 2).astype(np.int64)
                    values = np.where(kinds == KIND_INT, _signed(raw, f.payload), values)
                    if not _are_values(f, raw, values, kinds):
                        return False
                    ops[f"{f.name}_kind"][at] = kinds
                    free = ((1 << f.payload) - 1) << f.lo
                case RegField():
                    if values.max() >= COUNTS[f.file]:
                        return False
                case MaybeRegField():
                    if values.max() > COUNTS[f.file]:
                        return False
                case IntField():
                    values = _signed(raw, f.width) if f.signed else values
                    most = self.lengths[self.section[at]] if f.name == "target" else f.bounds[1]
                    if ((values < f.bounds[0]) | (values > most)).any():
                        return False
                case _:
                    free = 0
            ops[f.name][at] = values
            if free and row.name not in SINGLE:
                _clear(kept, free)
                if isinstance(f, MaybeRegField):  # whether there is one does count
                    kept[f.lo >> 6] |= (values > 0).astype(np.uint64) << np.uint64(f.lo & 63)
        kept_low[at], kept_high[at] = kept
        return True


def _signed(raw: Raw, width: int) -> Column:
    """Two's complement numbers of so many bits."""
    up = np.int64(64 - width)
    found: Column = raw.view(np.int64) << up >> up
    return found


def _clear(kept: list[Raw], mask: int) -> None:
    kept[0] &= np.uint64(~mask & _HALF)
    kept[1] &= np.uint64(~(mask >> 64) & _HALF)


def _are_values(f: ValueField, raw: Raw, values: Column, kinds: Column) -> bool:
    """Whether all of these are registers, integers or float32s that the field may hold."""
    least, most = f.bounds
    wrong = (kinds == KIND_INT) & ((values < least) | (values > most))
    for kind in (0, 1):
        count = COUNTS[f.files[kind]] if kind < len(f.files) else 0
        wrong |= (kinds == kind) & (raw >= np.uint64(count))
    floats = kinds == KIND_FLOAT
    if not f.floats:
        return not (wrong | floats).any()
    exponent = np.uint64(0x7F800000)
    nan = ((raw & exponent) == exponent) & ((raw & np.uint64(0x7FFFFF)) != 0)
    wrong |= floats & ((raw >> np.uint64(32) != 0) | (nan & (raw != np.uint64(_NAN))))
    return not wrong.any()


def _numbered(values: NDArray[Any]) -> Column:
    """A number for each value, the same for the same ones, counted from 0."""
    if not len(values) or (values == values[0]).all():
        return np.zeros(len(values), np.int64)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    found = np.zeros(len(values), np.int64)
    found[order[1:]] = np.cumsum(ordered[1:] != ordered[:-1])
    return found
