"""Compares an NPU's run of a random SIMT program with the reference, write by write.

``python -m tests.emulator.npu.simt_check SEED SIZE [logged]`` shows one program and checks it.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from isa.npu import NPU
from tests.emulator.npu.simt_random import Case, Writer
from tests.emulator.npu.simt_reference import Block, Region

CHIP = "npu-950pr"
Outputs = dict[str, np.ndarray[Any, Any]]


def reference(case: Case, **order: Any) -> Block:
    """The interpreter's run, with memory as it left it."""
    regions = []
    for tensor in case.program.tensors:
        raw = case.inputs.get(tensor.name)
        content = raw.tobytes() if raw is not None else 4 * tensor.size
        regions.append(Region.of(tensor.layouts[0].base, content))
    block = Block(case.words, case.threads, case.args, regions, int(load(CHIP).vector.ub))
    block.run(**order)
    return block


def engine(case: Case) -> Outputs:
    """What the emulator leaves in the output tensors."""
    return dict(Machine(load(CHIP)).run(case.program, case.inputs).outputs)


def difference(case: Case, block: Block, outputs: Outputs) -> str | None:
    """The first wrong write, or None; the log first, because it is in the order of the program."""
    regions = dict(zip((t.name for t in case.program.tensors), block.spaces["gm"], strict=True))
    names = sorted(outputs, key=lambda name: name != "log")
    for name in names:
        want = np.frombuffer(bytes(regions[name].data), np.uint32)
        got = outputs[name].reshape(-1).view(np.uint32)
        wrong = np.flatnonzero(want != got)
        if len(wrong):
            at = int(wrong[0])
            return f"{_place(case, block, name, regions[name].base + 4 * at)}: {got[at]:#010x}," \
                   f" the reference has {want[at]:#010x}"  # fmt: skip
    return None


def _place(case: Case, block: Block, name: str, address: int) -> str:
    """Which write of the program put its value at an address."""
    thread = (address - case.args[4]) // 4 % case.threads if name == "log" else None
    for write in block.writes:
        if write.target == "gm" and any(a <= address < a + len(v) for a, v in write.values.items()):
            lines = [NPU.print(NPU.decode(case.words[w])) for w in _context(write.word)]
            who = f"warp {write.warp}" if thread is None else f"thread {thread}"
            return f"{name} by {who}, word {write.word}: {' | '.join(lines)}"
    return f"{name} at {address:#x}, which the reference never wrote"


def _context(word: int) -> range:
    """A store of the log and what it stores."""
    return range(max(word - 2, 0), word + 1)


def check(seed: int, size: int, logged: bool) -> None:
    """Assert that engine and reference agree on one program."""
    case = Writer(seed, size, logged).case()
    wrong = difference(case, reference(case), engine(case))
    again = f"python -m tests.emulator.npu.simt_check {seed} {size}{' logged' if logged else ''}"
    assert wrong is None, f"{wrong}\nagain: {again}"


def main(seed: int, size: int, logged: bool) -> None:
    case = Writer(seed, size, logged).case()
    for i, word in enumerate(case.words):
        print(f"{i:4}  {NPU.print(NPU.decode(word))}")
    print(f"{case.threads} threads, {reference(case).issued} warp instructions")
    check(seed, size, logged)
    print("equal")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "logged" in sys.argv)
