"""Runs a SIMT function over small tensors x, y and z; each test says what its threads do."""

from __future__ import annotations

from typing import Any

import numpy as np
from npu_text import program, tensor

from emulator.npu.chip import NpuChip, load
from emulator.npu.machine import Machine
from emulator.result import Result
from isa.program import Program

CHIP = load("npu-tiny")
WORDS = 2048  # 32-bit words of each tensor
CALLER = """
    mov x1, x_
    mov x2, y_
    mov x3, z_
    sr.block x4
    vcall 0, x1, 4, threads=THREADS, dcache=DCACHE
    end
"""


def made(body: str, threads: int = 32, *, blocks: int = 1, dcache: int = 0) -> Program:
    """A program that launches `body` once per block: u0 = x, u1 = y, u2 = z, u3 = block."""
    caller = CALLER.replace("THREADS", str(threads)).replace("DCACHE", str(dcache))
    tensors = [
        tensor("x_", "uint32", (WORDS,), "in", 0),
        tensor("y_", "uint32", (WORDS,), "in", 4 * WORDS),
        tensor("z_", "uint32", (WORDS,), "out", 8 * WORDS),
    ]
    return program({"core.vector": caller, "simt.f": body}, tensors, blocks)


def words(values: Any = ()) -> Any:
    """The bits of 32-bit values, padded with zeros to a tensor."""
    bits = np.ascontiguousarray(values).view(np.uint32).reshape(-1)
    return np.concatenate([bits, np.zeros(WORDS - bits.size, np.uint32)])


def run(
    body: str, threads: int = 32, x: Any = (), y: Any = (), *, chip: NpuChip = CHIP,
    mode: str = "full", hazards: str = "error", blocks: int = 1, dcache: int = 0,
    warm: bool = False,
) -> Result:  # fmt: skip
    """Run it; `z` of the outputs is what the threads left there."""
    codes = {"x_": words(x), "y_": words(y)}
    program_ = made(body, threads, blocks=blocks, dcache=dcache)
    return Machine(chip).run(program_, codes, mode=mode, hazards=hazards, warm_l2=warm)


def z(result: Result, dtype: Any = np.uint32, count: int = WORDS) -> Any:
    return result.outputs["z_"].view(dtype)[:count]


# r0 = 4 * thread, r1 = x[thread], r2 = y[thread]; then the body leaves its result in r3.
BEFORE = """
    tsr.tid r0
    tshl.uint32 r0, r0, 2
    tld.gm.b32 r1, u0, r0
    tld.gm.b32 r2, u1, r0
"""
AFTER = """
    tst.gm.b32 r3, u2, r0
    texit
"""


def lanes(body: str, x: Any, y: Any = (), dtype: Any = np.uint32, threads: int = 32) -> Any:
    """`body` on a pair of elements per thread."""
    return z(run(BEFORE + body + AFTER, threads, x, y), dtype, threads)
