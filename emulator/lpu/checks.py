"""What can be said about a decoded program without running it.

Every fault is reported as (kind, op number, message); `prepare` turns it into a `Hazard`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.lpu.chip import LpuChip
from isa.lpu import LPU, TYPES
from isa.table import BYTES_OF

Column = NDArray[np.int64]
Report = Callable[[str, int, str], None]

_TYPE_NAMES = {code: name for name, code in TYPES.items()}
_WEST = 32  # the bit of a raw stream that says westward
_PRESENT = 64  # the bit of an optional stream that says it is there
_CHAINED = 2  # the kind, in bits 6-7, of an operand that is an ALU


class Checks:
    """Checks the ops of a program (`prepare.OP` records), completing `hold` and `planes`."""

    def __init__(self, chip: LpuChip, ops: NDArray[Any], report: Report) -> None:
        self.chip, self.ops, self.report = chip, ops, report

    def run(self) -> None:
        """Everything, in the order in which one check relies on another."""
        self._matrix_modes()
        self._directions()
        self._emits()
        self._alus()
        self._ranges()
        self._repeats()

    def _of(self, *names: str) -> Column:
        """Numbers of the ops with these mnemonics."""
        codes = [LPU.by_name[name].code for name in names]
        return np.flatnonzero(np.isin(self.ops["code"], codes))

    def _name(self, op: int) -> str:
        return LPU.by_code[int(self.ops["code"][op])].name

    def _plane(self, at: Column) -> Column:
        first = self.chip.queues.index("mxm.0.weights")
        plane: Column = (self.ops["queue"][at] - first) // 2
        return plane

    def _side(self, op: int) -> str:
        return "west" if self.ops["column"][op] == 0 else "east"

    # ---- matrix planes -----------------------------------------------------------------------

    def _matrix_modes(self) -> None:
        """Formats: granted, on the first plane of the group, within the mode's shape."""
        for name in ("lw", "lws", "mm"):
            at = self._of(name)
            for code in sorted(set(self.ops["type"][at].tolist())):
                self._mode(name, _TYPE_NAMES[code], at[self.ops["type"][at] == code])

    def _mode(self, name: str, dtype: str, at: Column) -> None:
        ops, chip = self.ops, self.chip
        try:
            mode = chip.mode(dtype)
        except ValueError as error:
            for i in at.tolist():
                self.report("mode", i, str(error))
            return
        ops["planes"][at] = mode.planes
        plane = self._plane(at) % (chip.mxm.planes // 2)
        for i in at[plane % mode.planes != 0].tolist():
            text = f"{name}.{dtype} takes a pair of planes and is issued on the even one"
            self.report("unit", i, text)
        if name == "mm":
            ops["hold"][at] = mode.cycles_per_mm
        if name == "lw":
            ops["hold"][at] = -(-ops["rows"][at] * BYTES_OF[dtype] // 16)
            for what, most in (("rows", mode.n), ("lanes", mode.k)):
                for i in at[ops[what][at] > most].tolist():
                    text = f"{chip.name} has {what} up to {most} for {dtype}"
                    self.report("range", i, f"{what}={ops[what][i]}: {text}")

    def _directions(self) -> None:
        """Planes read what leaves the chip and drive what enters it."""
        at = self._of("lw", "lws", "mm")
        west = self._plane(at) < self.chip.mxm.planes // 2
        wrong = (self.ops["a"][at] & _WEST != 0) != west
        for i in at[wrong].tolist():
            right, given = (".w", ".e") if self._side(i) == "west" else (".e", ".w")
            text = f"of a {self._side(i)} plane reads outward streams: {right}, not {given}"
            self.report("direction", i, f"{self._name(i)} {text}")
        at = self._of("mm")
        west = self._plane(at) < self.chip.mxm.planes // 2
        target = self.ops["dst"][at]
        wrong = (target & _PRESENT != 0) & ((target & _WEST != 0) == west)
        for i in at[wrong].tolist():
            right, given = (".e", ".w") if self._side(i) == "west" else (".w", ".e")
            text = f"of a {self._side(i)} plane drives inward streams: {right}, not {given}"
            self.report("direction", i, f"mm {text}")

    def _emits(self) -> None:
        at = self._of("mm")
        wrong = (self.ops["dst"][at] & _PRESENT != 0) != (self.ops["emit"][at] != 0)
        text = "mm names the stream group that takes the row if and only if it has emit"
        for i in at[wrong].tolist():
            self.report("operand", i, text)

    # ---- vector ALUs -------------------------------------------------------------------------

    def _alus(self) -> None:
        """Large operations on large ALUs; chains to ALUs that are there."""
        chip, ops = self.chip, self.ops
        at = self._of(*chip.vxm.large_ops)
        alu = ops["queue"][at] - chip.queues.index("vxm.0")
        large = ", ".join(map(str, chip.vxm.large_alus))
        for i in at[~np.isin(alu, chip.vxm.large_alus)].tolist():
            text = f"{self._name(i)} needs a large ALU; those of {chip.name} are {large}"
            self.report("unit", i, text)
        at = self._of(*(row.name for row in LPU.rows if row.unit == "vxm"))
        for operand in ("a", "b", "c"):
            raw = ops[operand][at]
            for i in at[(raw >> 6 == _CHAINED) & (raw & 63 >= chip.vxm.alus)].tolist():
                alu = ops[operand][i] & 63
                text = f"no ALU a{alu}; {chip.name} has a0 to a{chip.vxm.alus - 1}"
                self.report("range", i, text)

    # ---- repetitions -------------------------------------------------------------------------

    def _ranges(self) -> None:
        """The strided operand stays on the chip in every repetition."""
        chip, ops = self.chip, self.ops
        limits = {
            "addr": (0, chip.mem.words - 1, "word"),
            "base": (0, chip.mem.words - 1, "word"),
            "row": (0, chip.mxm.acc_rows - 1, "accumulator row"),
            "lane": (0, chip.lanes - 1, "lane"),
            "amount": (-chip.lanes, chip.lanes, "amount"),
        }
        for row in LPU.rows:
            at = np.flatnonzero(ops["code"] == row.code)
            if row.strided not in limits:
                continue
            low, high, what = limits[row.strided]
            if row.name == "rotate":
                low, high = 1 - chip.superlane, chip.superlane - 1
            across = ops["n"][at] * ops["stride"][at]
            along = ops["n2"][at] * ops["stride2"][at]
            ends = [ops["value"][at] + i * across + j * along for i in (0, 1) for j in (0, 1)]
            wrong = (np.minimum.reduce(ends) < low) | (np.maximum.reduce(ends) > high)
            for i in at[wrong].tolist():
                self.report("range", i, f"{row.name}: {what} {_leaving(ops[i], low, high)}")

    def _repeats(self) -> None:
        """Repetitions follow each other at least one hold apart."""
        ops = self.ops
        for i in np.flatnonzero((ops["n"] > 0) & (ops["d"] < ops["hold"])).tolist():
            text = f"the instruction holds its queue for {ops['hold'][i]}"
            self.report("repeat", i, f"repeat every {ops['d'][i]} cycles: {text}")
        least = ops["n"] * ops["d"] + ops["hold"]
        for i in np.flatnonzero((ops["n2"] > 0) & (ops["d2"] < least)).tolist():
            text = f"start d2={ops['d2'][i]} cycles apart, but a group takes {least[i]}"
            self.report("repeat", i, f"groups of a repeat {text}")


def _leaving(op: Any, low: int, high: int) -> str:
    """The value and the repetition in which the strided operand of `op` first leaves low..high."""
    base, n, n2 = int(op["value"]), int(op["n"]), int(op["n2"])
    stride, stride2 = int(op["stride"]), int(op["stride2"])
    for j in range(n2 + 1):
        first = base + j * stride2
        if low <= first <= high and low <= first + n * stride <= high:
            continue
        i = next(i for i in range(n + 1) if not low <= first + i * stride <= high)
        which = "" if n == n2 == 0 else f" in repetition {i}" + (f" of group {j}" if n2 else "")
        return f"{first + i * stride}{which}; there are {low} to {high}"
    raise AssertionError("some repetition is out of range")
