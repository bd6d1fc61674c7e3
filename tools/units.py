"""Time of one unit of a run, as profilers of real machines give it."""

from __future__ import annotations

from emulator.result import Result

# Waits that a profiler counts as a unit's own time: for the memory that it moves data of.
OWN_WAITS = {
    "cube.mte1": ("l1_bank",), "cube.mte2": ("hbm", "l2"), "cube.fix": ("hbm", "l2"),
    "vector.mte2": ("hbm", "l2"), "vector.mte3": ("hbm", "l2"), "vector.v": ("ub_bank",),
}  # fmt: skip


def own_time(result: Result, name: str) -> float:
    """Seconds that each of a unit's kind worked, or waited for the memory that it serves.

    `KeyError` names the units of the run.
    """
    unit = result.unit(name)
    cycles = unit.busy + sum(unit.waits.get(wait, 0) for wait in OWN_WAITS.get(name, ()))
    return cycles / unit.count / result.clock_hz
