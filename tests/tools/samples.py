"""A program, a result and a report made by hand, so that pages are tested without an engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from emulator.result import InstructionUse, MemoryUse, Result, UnitUse
from isa.lpu import LPU
from isa.program import Program, Section
from isa.table import Stream
from tools.runreport import RunReport


def make_program() -> Program:
    words = [
        LPU.make("read", dst=Stream(0, "e"), addr=0),
        LPU.make("repeat", n=9, d=2, stride=1),
    ]
    text = b"".join(LPU.encode(i).to_bytes(16, "little") for i in words)
    write = LPU.encode(LPU.make("write", addr=4, a=Stream(0, "e"))).to_bytes(16, "little")
    return Program(
        isa="lpu",
        chip="lpu-tiny",
        sections=(
            Section("mem.w0.read", text, ((0, 3), (0, 4))),
            Section("mem.e0.write", write, ()),
        ),
        files=("copy.s",),
    )


def make_result(**changes: Any) -> Result:
    """100 cycles in which one unit works 80, waits 15 and idles 5."""
    issues = np.array(
        [(0, 0, 0, 10, 2, 1), (1, 0, 12, 1, 1, 3)],
        dtype=[(n, np.int64) for n in ("section", "word", "first", "count", "interval", "busy")],
    )
    fields: dict[str, Any] = {
        "chip": "lpu-tiny",
        "clock_hz": 1e9,
        "mode": "full",
        "cycles": 100,
        "units": [
            UnitUse("mxm.0", 1, 80, {"operand": 10, "weights": 5}, 5),
            UnitUse("vxm", 16, 800, {"stream": 33}, 767),
        ],
        "memory": {"sram": MemoryUse(1_572_864, 512, 1e12, 2.5e11)},
        "bound": "mxm",
        "speed_of_light": {"mxm": 0.8, "stream": 0.25},
        "instructions": [
            InstructionUse("mem.w0.read", 0, 10, 10, {"bank": 5}, 0, 18),
            InstructionUse("mem.e0.write", 0, 1, 1, {}, 12, 12),
        ],
        "hazards": [],
        "phases": {"fill": 12, "drain": 8},
        "outputs": {},
        "issues": issues,
    }
    return Result(**{**fields, **changes})


def make_report(**changes: Any) -> RunReport:
    fields: dict[str, Any] = {
        "kernel": "matmul", "chip": "lpu-tiny", "dtype": "int8", "shape": {"m": 4, "n": 8, "k": 32},
        "data": "seed 7",
        "seed": 7, "program": make_program(), "result": make_result(), "outputs": {}, "scales": {},
        "accuracy": None, "wall_s": 0.25, "peak_rss_bytes": 150_000_000,
    }  # fmt: skip
    return RunReport(**{**fields, **changes})
