"""What `Threads` writes, run on the reference interpreter of SIMT functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emulator.npu.chip import load
from isa.npu import NPU
from programs.kernel import KernelError
from programs.npu.simt import Threads
from programs.npu.tiles import TileProgram
from tests.emulator.npu.simt_reference import Block, Region

WORDS = 64


def run(f: Threads, threads: int = 40, args: tuple[int, ...] = (0,)) -> Any:
    """Run a function whose threads store a word each at their number."""
    f("texit")
    block = Block(list(f.section()), threads, args, [Region.of(0, 4 * WORDS)], 1024)
    block.run()
    return np.frombuffer(bytes(block.spaces["gm"][0].data), np.int32)[:threads].tolist()


def stored(f: Threads, value: Any) -> Threads:
    with f.scope():
        f.store(value, f["y"], f.shl(f.special("tid"), 2))
    return f


def test_a_branch_with_two_sides() -> None:
    f = Threads("f", "y")
    i = f.special("tid")
    with f.when(f.compare("lt", i, 10)) as otherwise:
        f.mul(i, 100, into=i)
        otherwise()
        with f.when(f.compare("eq", i, 20)):
            f.mov(i, -1)
    assert run(stored(f, i)) == [100 * t if t < 10 else -1 if t == 20 else t for t in range(40)]


def test_loops_nest_and_each_thread_counts_for_itself() -> None:
    f = Threads("f", "y")
    i, total = f.special("tid"), f.reg(0)
    with f.each_from(f.reg(0), i, 1), f.each_from(f.reg(0), 3, 1):
        f.add(total, 1, into=total)
    assert run(stored(f, total)) == [3 * t for t in range(40)]


def test_guards() -> None:
    f = Threads("f", "y")
    i = f.special("tid")
    odd = f.compare("eq", f.op("tand", i, 1), 1)
    with f.only(odd):
        f.add(i, 1000, into=i)
    with f.only(odd, holds=False):
        f.put("tneg", i, type="int32", a=i)
    assert run(stored(f, i)) == [1000 + t if t % 2 else -t for t in range(40)]
    with f.only(odd), pytest.raises(ValueError, match="do not nest"), f.only(odd):
        pass
    with f.only(odd), pytest.raises(ValueError, match="tbar does not go under a guard"):
        f.barrier()


def test_ub_and_a_barrier() -> None:
    f = Threads("f", "y")
    i = f.special("tid")
    at = f.shl(i, 2)
    f.store(i, f.ub, at, space="ub")
    f.barrier()
    f.put("tsub", at, type="int32", a=f.reg(4 * 39), b=at)
    assert run(stored(f, f.load(f.ub, at, space="ub"))) == list(range(39, -1, -1))


def test_wide_accesses_take_registers_in_a_row() -> None:
    f = Threads("f", "y", registers=8)
    for i, register in enumerate(run_of := f.row(4)):
        f.mov(register, 7 + i)
    assert [r.index for r in run_of] == [0, 1, 2, 3]
    with f.scope():
        f.store(run_of[0], f["y"], width="b128")
    f.free(*run_of)
    again = f.load_row(f["y"], width="b64", offset=8)
    assert run(stored(f, again[1]), threads=1) == [10]


def test_registers_run_out() -> None:
    f = Threads("f", registers=2)
    f.reg()
    with f.scope():
        f.reg()
        with pytest.raises(ValueError, match="all 2 registers of a thread are in use"):
            f.reg()
    with pytest.raises(ValueError, match="no 2 registers in a row"):
        f.row(2)
    for _ in range(7):
        f.predicate()
    with pytest.raises(ValueError, match="all 7 predicates"):
        f.predicate()


def test_a_launch() -> None:
    """The registers of a thread follow from their number, the call says how many there are."""
    program = TileProgram(load("npu-950pr"))
    small, large = program.simt("small", "y", threads=64), program.simt("large", threads=2048)
    assert len([small.reg() for _ in range(127)]) == 127
    assert len([large.reg() for _ in range(16)]) == 16
    program.vector.call(small, 512)
    program.vector.call(large, dcache=64)
    calls = [NPU.decode(word) for word in program.finish(2, {}).section("core.vector")]
    calls = [op for op in calls if op.name == "vcall"]
    assert [(op["fn"], op["count"], op["threads"], op["dcache"]) for op in calls] == [
        (0, 1, 64, 32), (1, 0, 2048, 64),
    ]  # fmt: skip
    with pytest.raises(KernelError, match="runs 1 to 2,048 threads a block, not 2,049"):
        program.simt("more", threads=2049)
    with pytest.raises(KernelError, match="npu-910b has no SIMT mode"):
        TileProgram(load("npu-910b")).simt("f", threads=32)
