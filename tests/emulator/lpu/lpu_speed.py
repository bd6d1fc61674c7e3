"""How many instructions per second the step engine executes: python -m tests.emulator.lpu.lpu_speed

Three streams of repeated instructions on lpu-tsp1: copies between slices, adds that are read from
and stored to SRAM, and a chain of 16 ALUs. Every instruction works on a vector of 320 lanes.
"""

from __future__ import annotations

import time

import numpy as np

from emulator.lpu.machine import Machine
from isa.fields import Alu, Imm
from tests.emulator.lpu.lpu_programs import Bench, chip_named, east, planes_of

LENGTH = 50_000
START = 200


def copies() -> Bench:
    """16 slices to 16 others."""
    bench = Bench(chip_named("lpu-tsp1"))
    repeat, chip = {"n": LENGTH - 1, "d": 1}, bench.chip
    for k in range(16):
        source, target = f"mem.w{2 * k}.read", f"mem.e{2 * k}.write"
        bench.memory(f"w{2 * k}", 0, np.ones((1, chip.lanes)))
        bench.at(source, START, "read", dst=east(k), addr=0, repeat=repeat)
        there = chip.latency["mem.read"] + bench.hops(source, chip.queue_column(target))
        bench.at(target, START + there, "write", a=east(k), addr=0, repeat=repeat)
    return bench


def operand(bench: Bench) -> None:
    """A vector of ones on s0.e at the VXM in every cycle from START on."""
    ones = planes_of(np.ones((1, bench.chip.lanes), np.float32))
    for p in range(4):
        queue = f"mem.w{p}.read"
        bench.memory(f"w{p}", 0, ones[:, p])
        lead = bench.chip.latency["mem.read"] + bench.hops(queue, bench.chip.vxm_column)
        bench.at(queue, START - lead, "read", dst=east(p), addr=0, repeat={"n": LENGTH - 1, "d": 1})


def adds() -> Bench:
    """6 ALUs, 24 slices that store."""
    bench = Bench(chip_named("lpu-tsp1"))
    repeat, chip = {"n": LENGTH - 1, "d": 1}, bench.chip
    operand(bench)
    for k in range(6):
        bench.at(f"vxm.{k}", START, "add", type="fp32", dst=east(4 + 4 * k), a=east(0), b=Imm(1.5),
                 repeat=repeat)  # fmt: skip
        for p in range(4):
            queue = f"mem.e{4 * k + p}.write"
            there = START + chip.latency["vxm.add"] + bench.hops(queue, chip.vxm_column)
            bench.at(queue, there, "write", a=east(4 + 4 * k + p), addr=0, repeat=repeat)
    return bench


def chain() -> Bench:
    """16 ALUs, each taking what the one before it delivers."""
    bench = Bench(chip_named("lpu-tsp1"))
    operand(bench)
    for k in range(16):
        source, target = (Alu(k - 1) if k else east(0)), (None if k < 15 else east(8))
        bench.at(f"vxm.{k}", START + 4 * k, "mul", type="fp32", dst=target, a=source, b=Imm(1.5),
                 repeat={"n": LENGTH - 1, "d": 1})  # fmt: skip
    return bench


def main() -> None:
    for make in (copies, adds, chain):
        bench = make()
        machine = Machine(bench.chip)
        loaded = machine.prepare(bench.program())
        for mode in ("full", "timing"):
            started = time.perf_counter()
            result = machine.run(loaded, bench.inputs, mode=mode)
            seconds = time.perf_counter() - started
            count = sum(use.issued for use in result.instructions)
            print(f"{make.__name__:7} {mode:7} {count / seconds / 1e6:6.2f} M instructions/s")


if __name__ == "__main__":
    main()
