"""What SIMT functions cost the host: ``python benchmarks/simt.py [--repeat N]``.

64 sub-cores of 1024 threads run a loop of words without memory, and the same loop with one access
in it; what the access adds is its cost. CPU time of `Machine.run`, the best of N; what a run of one
round takes is left out.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from isa.asm import assemble
from isa.program import Program

CHIP, ROUNDS, BLOCKS, THREADS = "npu-950pr", 64, 64, 1024
BYTES = 4 * BLOCKS * THREADS  # that all threads touch in a round
LOOP = f"""
.chip {CHIP}
.meta kernel "loop"
.meta blocks {BLOCKS}
.tensor x, fp32, [{BYTES // 4 * ROUNDS}], in, at=0
.tensor y, fp32, [{BYTES // 4 * ROUNDS}], out, at={BYTES * ROUNDS}
.core vector
    mov x1, 0
    mov x2, {BYTES * ROUNDS}
    vcall loop, x1, 2, threads={THREADS}, dcache=32
    end
.simt loop
    tsr.tid r0
    tsr.block r1
    tshl.uint32 r2, r0, 2
    tfma.int32 r0, r1, {THREADS}, r0
    tshl.uint32 r0, r0, 2
    tmov r3, 0
    tst.ub.b32 r2, u0, r2
again:
    ACCESS
    tadd.int32 r0, r0, {BYTES}
    tadd.int32 r4, r0, 4
    tshl.uint32 r5, r3, 1
    tadd.int32 r5, r5, r4
    tadd.int32 r3, r3, 1
    tcmp.lt.int32 q0, r3, ROUNDS
    tbra again, when=q0
    texit
"""
INPUTS = {"x": np.zeros(BYTES // 4 * ROUNDS, np.float32)}
ACCESSES = {
    "no access": "",
    "load from UB": "tld.ub.b32 r6, u0, r2",
    "load, D-cache hit": "tld.gm.b32 r6, u0, r2",
    "load from HBM": "tld.gm.b32 r6, u0, r0",
    "store": "tst.gm.b32 r3, u1, r0",
}


def program(access: str, rounds: int) -> Program:
    return assemble(LOOP.replace("ACCESS", access).replace("ROUNDS", str(rounds)), "loop.s")


def best(machine: Machine, access: str, rounds: int, mode: str, repeat: int) -> tuple[float, int]:
    """CPU seconds of a run, and its warp instructions."""
    prepared, found = machine.prepare(program(access, rounds)), []
    for _ in range(repeat):
        start = time.process_time()
        result = machine.run(prepared, INPUTS if mode == "full" else {}, mode=mode)
        found.append(time.process_time() - start)
    issued = sum(unit.busy for unit in result.units if unit.name == "simt.scheduler")
    return min(found), issued


def cost(access: str, mode: str, repeat: int) -> tuple[float, int]:
    """The same of all rounds but one."""
    machine = Machine(load(CHIP))
    many, one = (best(machine, access, rounds, mode, repeat) for rounds in (ROUNDS, 1))
    return many[0] - one[0], many[1] - one[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, help="take the best of so many runs; 5")
    repeat = parser.parse_args().repeat
    print(f"{'':20}{'cycles only':>28}{'with values':>28}")
    print(f"{'':20}" + 2 * f"{'M words/s':>14}{'ns an access':>14}")
    plain: dict[str, float] = {}
    for name, access in ACCESSES.items():
        row = f"{name:20}"
        for mode in ("timing", "full"):
            seconds, issued = cost(access, mode, repeat)
            plain.setdefault(mode, seconds)
            each = (seconds - plain[mode]) / (BLOCKS * THREADS // 32 * (ROUNDS - 1)) * 1e9
            row += f"{issued / seconds / 1e6:14.1f}" + (f"{each:14.0f}" if access else " " * 14)
        print(row)


if __name__ == "__main__":
    main()
