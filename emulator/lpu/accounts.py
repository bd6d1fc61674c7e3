"""From the engine's log to a `Result`: units, memory levels, shares of peak, phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from emulator.lpu._accounts import REASONS, Accounts
from emulator.lpu._bulk import Charges
from emulator.lpu.chip import LpuChip
from emulator.lpu.prepare import Prepared
from emulator.result import Hazard, InstructionUse, MemoryUse, Result, UnitUse

ISSUES = np.dtype([
    ("section", np.int32), ("word", np.int32), ("cycle", np.int64), ("count", np.int32),
    ("interval", np.int32), ("hold", np.int32),
])  # fmt: skip
WEIGHT_STREAMS = 32  # outward streams of a side


def units_of(chip: LpuChip) -> dict[str, int]:
    """The units that results speak of, and how many queues each has."""
    names = {f"mxm.{p}": 1 for p in range(chip.mxm.planes)}
    sxm = chip.sxm.ops_per_cycle
    ports = 2 * chip.mem.slices
    sides = {"sxm.w": sxm, "sxm.e": sxm, "mem.w": ports, "mem.e": ports}
    return {**names, "vxm": chip.vxm.alus, **sides}


def unit_of_queue(queue: str) -> str | None:
    """The unit whose cycles a queue's instructions take; None for weight queues."""
    kind, *rest = queue.split(".")
    if kind == "mem":
        return f"mem.{rest[0][0]}"
    if kind == "vxm":
        return "vxm"
    if kind == "sxm":
        return f"sxm.{rest[0]}"
    return f"mxm.{rest[0]}" if rest[1] == "mm" else None


def units_for(chip: LpuChip) -> dict[str, list[int]]:
    """The unit of every queue (-1 = none) and plane, and how many queues each unit has."""
    counts = units_of(chip)
    number = {name: i for i, name in enumerate(counts)}
    owners = [unit_of_queue(q) for q in chip.queues]
    return {
        "queue_unit": [-1 if u is None else number[u] for u in owners],
        "unit_count": list(counts.values()),
        "plane_unit": [number[f"mxm.{p}"] for p in range(chip.mxm.planes)],
    }


def account(prepared: Prepared, log: Mapping[str, NDArray[Any]], cycles: int) -> Accounts:
    """Busy cycles and waits of every instruction and unit."""
    chip = prepared.chip
    return Accounts(
        prepared.ops, log["issues"], log["uses"], log["values"], log["syncs"],
        cycles=cycles,
        **units_for(chip),
        first_mxm=chip.queues.index("mxm.0.weights"),
        first_mem_end=4 * chip.mem.slices,
        columns=chip.columns,
        iw_latency=chip.latency["mxm.iw"],
    )  # fmt: skip


def result(
    prepared: Prepared,
    accounts: Accounts | Charges,
    bursts: NDArray[Any],
    totals: Mapping[str, int],
    hazards: tuple[Hazard, ...],
    *,
    mode: str,
    cycles: int,
    outputs: Mapping[str, NDArray[Any]],
) -> Result:
    """Everything a run leaves behind; `cycles` includes the stagger."""
    chip = prepared.chip
    counts = units_of(chip)
    units = [
        UnitUse(
            name, count, int(accounts.unit_busy[i]), _waits(accounts.unit_waits[i]),
            int(accounts.unit_idle[i]),
        )
        for i, (name, count) in enumerate(counts.items())
    ]  # fmt: skip
    shares = _shares(chip, units, totals, cycles)
    return Result(
        chip=chip.name,
        clock_hz=chip.clock,
        mode=mode,
        cycles=cycles,
        units=units,
        memory=_memory(chip, totals, cycles),
        bound=max(shares, key=lambda name: shares[name]),
        speed_of_light=shares,
        instructions=Instructions(prepared, accounts),
        hazards=hazards,
        phases=_phases(totals, cycles),
        outputs=outputs,
        issues=_bursts(prepared, bursts),
    )


def _waits(row: NDArray[np.int64]) -> dict[str, int]:
    return {reason: int(n) for reason, n in zip(REASONS, row, strict=True) if n}


def _shares(
    chip: LpuChip, units: list[UnitUse], totals: Mapping[str, int], cycles: int
) -> dict[str, float]:
    """Each resource's use as a share of what it could have done in these cycles."""
    busy = dict.fromkeys(("mxm", "vxm", "sxm", "mem"), 0)
    for unit in units:
        busy[unit.name[:3]] += unit.busy
    ports = max(totals["sram_read"], totals["sram_written"])
    return {
        "mxm": busy["mxm"] / (chip.mxm.planes * cycles),
        "stream": totals["fed"] / (2 * WEIGHT_STREAMS * cycles),
        "sram": ports / (2 * chip.mem.slices * cycles),
        "vxm": busy["vxm"] / (chip.vxm.alus * cycles),
        "sxm": busy["sxm"] / (2 * chip.sxm.ops_per_cycle * cycles),
    }


def _memory(chip: LpuChip, totals: Mapping[str, int], cycles: int) -> dict[str, MemoryUse]:
    seconds = cycles / chip.clock

    def use(read: int, written: int, moved: int, peak: int) -> MemoryUse:
        vector = chip.lanes
        rates = peak * vector * chip.clock, moved * vector / seconds
        return MemoryUse(read * vector, written * vector, *rates)

    read, written = totals["sram_read"], totals["sram_written"]
    taken, driven = totals["stream_taken"], totals["stream_driven"]
    return {
        # A read and a write port per slice.
        "sram": use(read, written, read + written, 4 * chip.mem.slices),
        # What is driven moves, however often it is read; a stream can carry another vector in
        # each half of the chip, because the VXM in the middle may drive it anew.
        "stream": use(taken, driven, driven, 4 * WEIGHT_STREAMS),
    }


def _phases(totals: Mapping[str, int], cycles: int) -> dict[str, int]:
    """Cycles before the first weights, after the last; the first and last product."""
    loads = totals["first_lw"] >= 0
    phases = {
        "fill": totals["first_lw"] if loads else 0,
        "drain": cycles - 1 - totals["last_lw"] if loads else 0,
    }
    if totals["first_mm"] >= 0:
        phases |= {"first_mm": totals["first_mm"], "last_mm": totals["last_mm"]}
    return phases


class Instructions(Sequence[InstructionUse]):
    """A row per instruction, made when it is asked for: most runs only need the sums."""

    def __init__(self, prepared: Prepared, accounts: Accounts | Charges) -> None:
        self._names = [s.name for s in prepared.program.sections]
        self._ops, self._accounts = prepared.ops, accounts

    @property
    def issued(self) -> int:
        """Issues of all instructions."""
        return int(self._accounts.op_issued.sum())

    def __len__(self) -> int:
        return len(self._ops)

    @overload
    def __getitem__(self, i: int) -> InstructionUse: ...
    @overload
    def __getitem__(self, i: slice) -> list[InstructionUse]: ...
    def __getitem__(self, i: int | slice) -> InstructionUse | list[InstructionUse]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        op, a = self._ops[i], self._accounts
        return InstructionUse(
            self._names[int(op["section"])], int(op["word"]), int(a.op_issued[i]),
            int(a.op_busy[i]), _waits(a.op_waits[i]), int(a.op_first[i]), int(a.op_last[i]),
        )  # fmt: skip

    def __iter__(self) -> Iterator[InstructionUse]:
        ops, a = self._ops, self._accounts
        columns = zip(
            ops["section"].tolist(), ops["word"].tolist(), a.op_issued.tolist(),
            a.op_busy.tolist(), a.op_waits.tolist(), a.op_first.tolist(), a.op_last.tolist(),
            strict=True,
        )  # fmt: skip
        for section, word, issued, busy, waits, first, last in columns:
            used = {r: n for r, n in zip(REASONS, waits, strict=True) if n}
            yield InstructionUse(self._names[section], word, issued, busy, used, first, last)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def _bursts(prepared: Prepared, bursts: NDArray[Any]) -> NDArray[Any]:
    rows = np.zeros(len(bursts), ISSUES)
    for name in ("section", "word"):
        rows[name] = prepared.ops[name][bursts["op"]]
    for name in ("cycle", "count", "interval", "hold"):
        rows[name] = bursts[name]
    return rows
