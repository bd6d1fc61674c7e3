"""Scheduling for the LPU: place rigid fragments, get a Program.

    schedule = Schedule(chip, "my kernel")
    f = schedule.fragment("scale")
    f.write(f.vxm("mul.fp32", f.read(x, n=rows), 0.5), y)
    schedule.place(f)
    program = schedule.program(tensors)

``docs/scheduling.md`` walks through a whole kernel. Read `fragment` (what a kernel author builds),
`memory` (blocks of SRAM), `reservations` (what is free when), `emit` (words).
"""

from programs.lpu.schedule.fragment import (
    Burst,
    Fragment,
    Op,
    Place,
    Run,
    ScheduleError,
    Value,
    lie,
    repeated,
)
from programs.lpu.schedule.memory import Arena, Block
from programs.lpu.schedule.schedule import Placement, Schedule

__all__ = [
    "Arena", "Block", "Burst", "Fragment", "Op", "Place", "Placement", "Run", "Schedule",
    "ScheduleError", "Value", "lie", "repeated",
]  # fmt: skip
