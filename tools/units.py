"""Time of one unit of a run, as profilers of real machines give it."""

from __future__ import annotations

from emulator.result import Result

# Waits that are part of a unit's own work as a profiler sees it: for the memory that it moves.
OWN_WAITS = ("hbm", "l2", "ub_bank", "l1_bank")


def own_time(result: Result, name: str) -> float:
    """Seconds that each of a unit's kind worked, or waited for the memory that it serves.

    `KeyError` names the units of the run.
    """
    unit = result.unit(name)
    cycles = unit.busy + sum(unit.waits.get(wait, 0) for wait in OWN_WAITS)
    return cycles / unit.count / result.clock_hz
