"""The engine's accounts as a `Result`: units, memory, what bounds the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.npu.hazards import WARNINGS
from emulator.npu.prepare import Prepared
from emulator.result import Hazard, InstructionUse, MemoryUse, Result, Span, UnitUse
from isa.npu import PIPES

# The engine's reasons, in the order of its enum; the first and the last are no waits.
REASONS = (
    "busy", "hbm", "l2", "ub_bank", "l1_bank", "mte1", "mte2", "mte3", "cube", "fix", "vector",
    "flag", "queue", "scalar", "idle",
)  # fmt: skip
# The same of SIMT schedulers: a scheduler issues or has one reason not to; `not_selected` is of
# warps alone.
WHYS = (
    "selected", "fixed_latency", "memory_scoreboard", "ub_scoreboard", "mshr_full", "math_pipe",
    "ub_conflict", "barrier", "branch", "no_instruction", "drained", "not_selected",
)  # fmt: skip
SCHEDULER = "simt.scheduler"
UNITS = {
    "cube": ("m", "mte1", "mte2", "fix", "scalar"),
    "vector": ("v", "mte2", "mte3", "scalar"),
}


@dataclass(frozen=True)
class SimtUse:
    """SIMT functions: cycles of each sub-core's schedulers [sub-cores, reasons], and cycles that
    warps waited at each row of the program [rows, reasons]."""

    schedulers: NDArray[np.int64]
    stalls: NDArray[np.int64]


def goes_on(hazard: Hazard) -> bool:
    """Whether a run may go on after it under ``hazards="warn"``."""
    return hazard.kind in WARNINGS


def result(
    prepared: Prepared,
    accounts: NDArray[np.int64],
    uses: NDArray[np.int64],
    totals: Mapping[str, int],
    hazards: tuple[Hazard, ...],
    *,
    mode: str,
    outputs: Mapping[str, NDArray[Any]],
    simt: SimtUse,
    spans: tuple[Span, ...] = (),
) -> Result:
    """Sum the sub-cores' accounts up by unit."""
    chip, cycles = prepared.chip, totals["cycles"]
    units = [
        _unit(accounts, chip.vector.per_core, kind, pipe)
        for kind, pipes in UNITS.items()
        for pipe in pipes
    ]
    if chip.simt is not None and len(prepared.uops):
        units.append(_schedulers(chip.vectors * chip.simt.schedulers, simt.schedulers, cycles))
    memory = _memory(prepared, totals, cycles)
    shares = {u.name: u.busy / (cycles * u.count) if cycles else 0.0 for u in units}
    if chip.simt is not None and cycles:
        # V is as busy as its schedulers while it runs a SIMT function, and they have an account.
        inside = simt.schedulers.sum() / chip.simt.schedulers
        shares["vector.v"] -= float(inside) / (cycles * chip.vectors)
    light = {name: shares[name] for name in shares if not name.endswith("scalar")}
    for name, use in memory.items():
        light[name] = use.achieved_bytes_per_s / use.peak_bytes_per_s
    return Result(
        chip=chip.name,
        clock_hz=chip.clock,
        mode=mode,
        cycles=cycles,
        units=units,
        memory=memory,
        bound=max(light, key=lambda name: light[name]),
        speed_of_light=light,
        instructions=_instructions(prepared, uses, simt.stalls),
        hazards=hazards,
        phases={},
        outputs=outputs,
        launch_s=chip.launch,
        spans=spans,
    )


def _schedulers(count: int, schedulers: NDArray[np.int64], cycles: int) -> UnitUse:
    """All SIMT schedulers; outside SIMT functions they are idle."""
    total = dict(zip(WHYS, schedulers.sum(0).tolist(), strict=True))
    busy = total.pop("selected")
    waits = {why: lost for why, lost in total.items() if lost}
    return UnitUse(SCHEDULER, count, busy, waits, cycles * count - busy - sum(waits.values()))


def _instructions(
    prepared: Prepared, uses: NDArray[np.int64], stalls: NDArray[np.int64]
) -> list[InstructionUse]:
    """What each word that was issued cost its pipe. A SIMD function's words count in their vcall;
    those of SIMT functions have the cycles that warps waited at them."""
    found = []
    for row, (issued, busy, first, last) in enumerate(uses.tolist()):
        where = prepared.where(row)
        if issued and where is not None:
            waits = {why: n for why, n in zip(WHYS, stalls[row].tolist(), strict=True) if n}
            found.append(InstructionUse(*where, issued, busy, waits, first, last))
    return found


def _unit(accounts: NDArray[np.int64], per_core: int, kind: str, pipe: str) -> UnitUse:
    """One kind of pipe over all sub-cores that have it."""
    part = np.arange(len(accounts)) % (1 + per_core)
    rows = accounts[(part == 0) == (kind == "cube"), PIPES[pipe]]
    total = dict(zip(REASONS, rows.sum(0).tolist(), strict=True))
    waits = {r: total[r] for r in REASONS[1:-1] if total[r]}
    return UnitUse(f"{kind}.{pipe}", len(rows), total["busy"], waits, total["idle"])


def _memory(prepared: Prepared, totals: Mapping[str, int], cycles: int) -> dict[str, MemoryUse]:
    chip = prepared.chip
    seconds = cycles / chip.clock

    def use(read: int, write: int, peak: float) -> MemoryUse:
        rate = (read + write) / seconds if seconds else 0.0
        return MemoryUse(read, write, peak, rate)

    l0 = chip.cores * (chip.cube.l1_l0a + chip.cube.l1_l0b) * chip.clock
    l2 = (chip.l2.read_rate + chip.l2.write_rate) * chip.clock
    return {
        "hbm": use(totals["hbm_read"], totals["hbm_write"], chip.hbm.bandwidth),
        "l2": use(totals["l2_read"], totals["l2_write"], l2),
        "l0": use(totals["l0_read"], 0, l0),
    }
