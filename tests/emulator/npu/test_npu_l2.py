"""L2: what stays and what goes, what is written back, sectors for SIMT functions."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npu_text import program, tensor

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from emulator.npu.memory._system import MemorySystem
from emulator.npu.memory.numbers import numbers
from emulator.result import Result

CHIP = load("npu-tiny")
LINE = int(CHIP.l2.line)
LINES = CHIP.l2.lines  # 512
READ, WRITE, ATOMIC = 0, 1, 2

LOAD = """
    mov x1, {address}
    mov x2, {size}
    {what}
"""
WHAT = {
    "load": "load.ub.b8 x0, x1, x2",
    "stream": "load.ub.b8 x0, x1, x2, l2=stream",
    "store": "store.gm.b8 x1, x0, x2",
}


def run(accesses: list[tuple[str, int, int]], warm: bool = False) -> Result:
    """One sub-core moves (what, address, bytes), one after another."""
    text = ""
    for what, address, size in accesses:
        text += LOAD.format(address=address, size=size, what=WHAT[what]) + "barrier.all\n"
    tensors = [
        tensor("in_", "uint8", (LINES * LINE * 2,), "in", 0),
        tensor("out_", "uint8", (LINES * LINE * 2,), "out", LINES * LINE * 2),
    ]
    made = program({"core.vector": text + "end"}, tensors)
    return Machine(CHIP).run(made, mode="timing", warm_l2=warm)


class Oracle:
    """Exact LRU over lines, sectors valid and dirty one by one."""

    def __init__(self) -> None:
        self.lines: OrderedDict[int, tuple[set[int], set[int]]] = OrderedDict()
        self.read = self.written = 0

    def access(self, what: str, address: int, size: int) -> None:
        for line in range(address // LINE, (address + size - 1) // LINE + 1):
            first = max(address, line * LINE) // 128
            last = (min(address + size, (line + 1) * LINE) - 1) // 128
            sectors = set(range(first, last + 1))
            there = line in self.lines
            valid, dirty = self.lines.get(line, (set(), set()))
            if what != "store":
                self.read += 128 * len(sectors - valid)
            if what == "stream":
                if there:
                    self.lines[line] = valid | sectors, dirty
                continue
            self.lines[line] = valid | sectors, dirty | sectors if what == "store" else dirty
            self.lines.move_to_end(line)
            if len(self.lines) > LINES:
                self.written += 128 * len(self.lines.popitem(last=False)[1][1])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), span=st.sampled_from([1, 2, 4]))
def test_least_recently_used(seed: int, span: int) -> None:
    """Bytes read from and written to HBM equal those of an exact LRU model."""
    rng = np.random.default_rng(seed)
    oracle, accesses = Oracle(), []
    for _ in range(120):
        what = str(rng.choice(["load", "load", "stream", "store"]))
        size = int(rng.integers(1, 16384))
        half = LINES * LINE * span // 4 if what != "store" else LINES * LINE
        address = int(rng.integers(0, half)) // 32 * 32
        address += LINES * LINE * 2 if what == "store" else 0
        accesses.append((what, address, size))
        oracle.access(*accesses[-1])
    result = run(accesses)
    assert result.memory["hbm"].read_bytes == oracle.read
    assert result.memory["hbm"].write_bytes == oracle.written


def passes(lines: int, count: int, what: str = "load") -> Result:
    step = 16384
    return run([(what, at, step) for _ in range(count) for at in range(0, lines * LINE, step)])


def test_a_cyclic_pass_over_more_than_l2_never_hits() -> None:
    fits, too_many = passes(LINES, 3), passes(LINES + 32, 3)
    assert fits.memory["hbm"].read_bytes == LINES * LINE
    assert too_many.memory["hbm"].read_bytes == 3 * (LINES + 32) * LINE


def test_streamed_lines_are_not_kept() -> None:
    assert passes(64, 2, "stream").memory["hbm"].read_bytes == 2 * 64 * LINE


def test_warm_l2_holds_the_last_of_the_inputs() -> None:
    """The input is twice as large as L2: its second half is there, its first is not."""
    half = LINES * LINE
    assert run([("load", half, 16384)], warm=True).memory["hbm"].read_bytes == 0
    assert run([("load", 0, 16384)], warm=True).memory["hbm"].read_bytes == 16384
    cold, warm = (run([("load", half, 16384)], warm=w).cycles for w in (False, True))
    assert cold - warm >= CHIP.hbm.row_miss_seconds * CHIP.clock


def test_a_hit_takes_l2_latency_and_a_miss_the_way_to_hbm_too() -> None:
    memory = MemorySystem(numbers(CHIP.hbm, CHIP.l2, CHIP.clock, 1), 1 << 20)
    same = np.zeros(2, np.int64)
    miss, hit = memory.sectors(np.array([0.0, 2000.0]), same, np.zeros(2, np.int32))
    hbm = CHIP.hbm
    way = (hbm.latency + hbm.rcd_read + hbm.cl) * CHIP.clock
    assert CHIP.l2.latency + way < miss < CHIP.l2.latency + way + 20
    assert CHIP.l2.latency < hit - 2000 < CHIP.l2.latency + 5


def test_a_hit_on_a_fill_under_way_waits_for_it() -> None:
    memory = MemorySystem(numbers(CHIP.hbm, CHIP.l2, CHIP.clock, 1), 1 << 20)
    ends = memory.sectors(np.array([0.0, 10.0]), np.zeros(2, np.int64), np.zeros(2, np.int32))
    assert ends[1] == ends[0]


def test_atomics_on_one_sector_follow_each_other() -> None:
    n = 50
    kinds = np.full(n, ATOMIC, np.int32)
    ends = {}
    for spread in (0, 128):
        memory = MemorySystem(numbers(CHIP.hbm, CHIP.l2, CHIP.clock, 1), 1 << 20)
        addresses = np.arange(n, dtype=np.int64) * spread
        memory.sectors(np.zeros(n), addresses, np.zeros(n, np.int32))
        ends[spread] = memory.sectors(np.full(n, 5000.0), addresses, kinds) - 5000
    assert np.all(np.diff(ends[0]) >= CHIP.l2.atomic)
    assert ends[0][-1] - ends[128][-1] == pytest.approx((n - 1) * CHIP.l2.atomic, abs=30)


def test_partial_lines_take_a_place_of_their_own() -> None:
    """Pieces of 128 bytes out of L2 are slower than whole lines, byte for byte."""
    whole = run([("load", at, 16384) for at in (0, 0)]).cycles
    step = 512
    text = """
        mov x1, 0
        mov x2, 128
        mov x3, 128
        mov x4, {pitch}
        load.ub.b8 x0, x1, x2, rows=x3, src_pitch=x4
        barrier.all
        load.ub.b8 x0, x1, x2, rows=x3, src_pitch=x4
        end
    """
    tensors = [tensor("in_", "uint8", (LINES * LINE * 2,), "in", 0)]
    made = program({"core.vector": text.format(pitch=step)}, tensors)
    assert Machine(CHIP).run(made, mode="timing").cycles > whole + 16384 * 16 / 128 / 50
