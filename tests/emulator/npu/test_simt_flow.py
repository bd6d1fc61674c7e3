"""SIMT functions: divergence, loops, barriers, early exits, several functions, timing mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from npu_text import program, tensor
from simt_text import AFTER, BEFORE, CHIP, lanes, run, z

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from emulator.npu.simt import access, decode
from emulator.npu.simt_slice import demanded
from isa.npu import NPU
from tests.emulator.npu.simt_check import check

X = np.arange(32, dtype=np.uint32)

IF_ELSE = """
    tcmp.lt.uint32 q0, r1, 10
    tpush join
    tbra then, when=q0
    tadd.uint32 r3, r1, 1000
    tbra join
then:
    tadd.uint32 r3, r1, 100
join:
    tpop
    tadd.uint32 r3, r3, 1
"""


def test_if_else_meets_again() -> None:
    want = X + np.where(X < 10, 101, 1001)
    assert np.array_equal(lanes(IF_ELSE, X), want)


def test_both_sides_take_their_time() -> None:
    """Divergence runs both sides; without it only one is run."""
    both = run(BEFORE + IF_ELSE + AFTER, 32, X).cycles
    one = run(BEFORE + IF_ELSE + AFTER, 32, X + 100).cycles
    assert both > one


LOOP = """
    tmov r3, 0
    tpush out
next:
    tcmp.eq.uint32 q0, r1, 0
    tbra out, when=q0
    tadd.uint32 r3, r3, r1
    tsub.uint32 r1, r1, 1
    tbra next
out:
    tpop
"""


def test_loops_of_different_lengths() -> None:
    assert np.array_equal(lanes(LOOP, X), X * (X + 1) // 2)


def test_nested_divergence() -> None:
    body = """
        tmov r3, 0
        tcmp.lt.uint32 q0, r1, 16
        tpush outer
        tbra low, when=q0
        tadd.uint32 r3, r3, 1
        tbra outer
    low:
        tcmp.lt.uint32 q1, r1, 4
        tpush inner
        tbra lowest, when=q1
        tadd.uint32 r3, r3, 10
        tbra inner
    lowest:
        tadd.uint32 r3, r3, 100
    inner:
        tpop
        tadd.uint32 r3, r3, 1000
    outer:
        tpop
        tadd.uint32 r3, r3, 10000
    """
    want = np.where(X < 4, 11100, np.where(X < 16, 11010, 10001))
    assert np.array_equal(lanes(body, X), want)


def test_threads_that_exit_inside() -> None:
    """Who exits on one side does not come to the meeting point; the others go on."""
    body = """
        tcmp.lt.uint32 q0, r1, 10
        tmov r3, 5
        tpush join
        tbra then, when=q0
        texit
    then:
        tadd.uint32 r3, r3, 1
    join:
        tpop
        tvote.ballot r3, q0
    """
    got = z(run(BEFORE + body + AFTER, 32, X))
    assert np.all(got[:10] == (1 << 10) - 1)
    assert np.all(got[10:32] == 0)


def test_branches_without_a_push_never_meet() -> None:
    body = """
        tcmp.lt.uint32 q0, r1, 10
        tcmp.ge.uint32 q1, r1, 0
        tbra there, when=q0
    there:
        tvote.ballot r3, q1
    """
    want = np.where(X < 10, (1 << 10) - 1, (1 << 32) - (1 << 10))
    assert np.array_equal(lanes(body, X), want)


REVERSE = """
    tsr.tid r0
    tshl.uint32 r1, r0, 2
    tld.gm.b32 r2, u0, r1
    tst.ub.b32 r2, u3, r1
    tbar
    tsr.threads r4
    tsub.uint32 r4, r4, 1
    tsub.uint32 r4, r4, r0
    tshl.uint32 r4, r4, 2
    tld.ub.b32 r5, u3, r4
    tst.gm.b32 r5, u2, r1
"""


@pytest.mark.parametrize("threads", [1, 31, 32, 33, 200, 256])
def test_barrier_between_warps(threads: int) -> None:
    x = np.arange(threads, dtype=np.uint32)
    assert np.array_equal(z(run(REVERSE, threads, x), count=threads), x[::-1])


def test_barriers_wait_for_those_that_are_not_done() -> None:
    """Warp 0 exits before the barrier; the others meet without it."""
    body = """
        tsr.warp r0
        tcmp.eq.uint32 q0, r0, 0
        texit when=q0
        tbar
        tsr.tid r0
        tshl.uint32 r1, r0, 2
        tst.gm.b32 r0, u2, r1
    """
    got = z(run(body, 96))
    assert np.array_equal(got[32:96], np.arange(32, 96))


def test_largest_launch() -> None:
    """2,048 threads of the 950PR add up their numbers with atomics."""
    body = "tsr.tid r0\ntcmp.eq.uint32 q0, r0, 0\ntmov r1, 0\ntst.gm.b32 r1, u2, _, when=q0\n"
    body += "tbar\ntatom.gm.add.uint32 _, u2, _, r0"
    assert z(run(body, 2048, chip=load("npu-950pr")))[0] == 2048 * 2047 // 2


def test_functions_one_after_another() -> None:
    """Two SIMT functions and a SIMD function between them hand a buffer on."""
    caller = """
        mov x1, x_
        mov x2, z_
        mov x3, 0
        vcall 0, x1, 3, threads=64
        vcall 1, x3, 1
        vcall 2, x1, 3, threads=64
        end
    """
    first = "tsr.tid r0\ntshl.uint32 r0, r0, 2\ntld.gm.b32 r1, u0, r0\ntst.ub.b32 r1, u2, r0"
    middle = "vld.b32.norm v1, x1\nvadd.uint32 v1, v1, v1\nvst.b32.norm v1, x1\nend"
    last = "tsr.tid r0\ntshl.uint32 r0, r0, 2\ntld.ub.b32 r1, u2, r0\ntst.gm.b32 r1, u1, r0"
    tensors = [tensor("x_", "uint32", (64,), "in", 0), tensor("z_", "uint32", (64,), "out", 512)]
    made = program({"core.vector": caller, "simt.a": first, "simd.b": middle, "simt.c": last},
                   tensors)  # fmt: skip
    x = np.arange(64, dtype=np.uint32)
    result = Machine(CHIP).run(made, {"x_": x})
    assert np.array_equal(result.outputs["z_"], 2 * x)


def test_runs_repeat_exactly() -> None:
    x = np.random.default_rng(0).integers(0, 100, 256).astype(np.uint32)
    one, two = (run(BEFORE + LOOP + AFTER, 256, x, blocks=1) for _ in range(2))
    assert one.cycles == two.cycles
    assert one.units == two.units
    assert one.instructions == two.instructions


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_equal_the_reference(seed: int) -> None:
    check(1000 + seed, 30, seed % 2 == 0)


# ---- timing mode ---------------------------------------------------------------------------------


def needed(text: str) -> tuple[list[bool], bool]:
    lines = [line.strip() for line in text.strip().split("\n")]
    instructions = []
    for line in lines:
        head, _, rest = line.partition(" ")
        operands = [p.strip() for p in rest.split(",")] if rest else []
        instructions.append(NPU.parse(head, operands))
    return demanded(instructions, [access(i) for i in instructions])


def test_timing_computes_addresses_and_branches_alone() -> None:
    wanted, data = needed("""tsr.tid r0
        tshl.uint32 r1, r0, 2
        tld.gm.b32 r2, u0, r1
        texp.fp32 r2, r2
        tst.gm.b32 r2, u1, r1
        tadd.uint32 r1, r1, 128
        tcmp.lt.uint32 q0, r1, 4096
        tbra 2, when=q0""")
    assert wanted == [True, True, False, False, False, True, True, False]
    assert not data


def test_a_register_used_twice_is_two_values() -> None:
    _, data = needed("""tsr.tid r1
        tst.gm.b32 r0, u0, r1
        tld.gm.b32 r1, u0, _
        tst.gm.b32 r1, u0, _""")
    assert not data


@pytest.mark.parametrize(
    "use",
    ["tld.gm.b32 r3, u0, r2", "tcmp.eq.uint32 q0, r2, 1\ntexit when=q0",
     "tmul.uint32 r4, r2, 4\ntst.ub.b32 r2, u0, r4", "tmov r3, 1\ntmov r5, r2, when=q0\n"
     "tatom.gm.add.uint32 _, u0, r5, r3"],
)  # fmt: skip
def test_loaded_data_that_decides(use: str) -> None:
    assert needed("tld.gm.b32 r2, u0, _\n" + use)[1]


@pytest.mark.parametrize("body", [IF_ELSE, LOOP, "tshl.uint32 r3, r0, 1", "tbar\ntmov r3, 2"])
def test_timing_mode_takes_the_same_cycles(body: str) -> None:
    text = BEFORE + body + AFTER
    x: Any = np.arange(256, dtype=np.uint32) % 7
    full, timed = (run(text, 256, x, mode=mode) for mode in ("full", "timing"))
    assert full.cycles == timed.cycles
    assert full.units == timed.units
    assert timed.outputs == {}


def test_decoding_counts_registers_and_arguments() -> None:
    words = [NPU.encode(NPU.parse("tld.gm.b128", ["r5", "u3", "r1"]))]
    ops = np.zeros(1, [(n, np.int32) for n in
                       ("code", "type", "to", "cond", "op", "mode", "which", "cache", "offset",
                        "target", "latency", "interval", "a_kind", "b_kind")])  # fmt: skip
    code = decode(words, ops, 0)
    assert code.registers == 9
    assert code.arguments == 4
