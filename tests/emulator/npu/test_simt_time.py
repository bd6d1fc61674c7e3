"""SIMT functions: cycles against closed forms, and where the schedulers' cycles went."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from npu_text import program, tensor
from simt_text import CHIP, run, z

from emulator.npu.chip import NpuChip, load
from emulator.npu.machine import Machine
from emulator.result import Result, UnitUse

PR = load("npu-950pr")
SIMT = PR.simt
assert SIMT is not None


def chain(body: str, threads: int = 32, *, before: str = "", chip: NpuChip = PR,
          **options: Any) -> int:  # fmt: skip
    """Cycles from the issue in front of `body` to the first issue behind it, by thread 0."""
    text = f"""
        tsr.lane r0
        tshl.uint32 r1, r0, 2
        {before}
        tmov r20, 0
        tbar
        tsr.cycle r10
        {body}
        tsr.cycle r11
        tsub.uint32 r11, r11, r10
        tsr.tid r12
        tcmp.eq.uint32 q6, r12, 0
        tst.gm.b32 r11, u2, _, when=q6
    """
    return int(z(run(text, threads, chip=chip, **options))[0])


def scheduler(result: Result) -> UnitUse:
    return result.unit("simt.scheduler")


def test_dependent_adds_take_their_latency() -> None:
    alu = PR.latency["simt.alu"]
    assert chain("tadd.uint32 r20, r20, 1\n" * 50) == 50 * alu + 1 - alu + 1


def test_independent_adds_issue_every_cycle() -> None:
    assert chain("\n".join(f"tadd.uint32 r{20 + i}, r0, 1" for i in range(20))) == 21


def test_four_schedulers_issue_four_words_a_cycle() -> None:
    """16 warps, 4 on each scheduler: each issues every fourth cycle."""
    body = "\n".join(f"tmov r{i}, {i}" for i in range(16)) * 1
    result = run(body, 512, chip=PR)
    assert scheduler(result).busy == 16 * 16
    assert result.cycles < SIMT.launch + 16 * 4 + 20  # type: ignore[union-attr]


def test_interval_of_special_functions() -> None:
    made = "\n".join(f"texp.fp32 r{20 + i}, r0" for i in range(10))
    assert chain(made) == 1 + 9 * PR.interval["simt.special"] + 1
    assert scheduler(run(made, 32, chip=PR)).waits["math_pipe"] == 9 * (
        PR.interval["simt.special"] - 1)  # fmt: skip


# ---- UB ------------------------------------------------------------------------------------------

# Silicon, a chain of 100 accumulating loads by one warp: tools/published/npu_simt.csv.
UB_LOAD = {"broadcast": (1078, "tmov r1, 0"), "conflict_free": (1107, "tshl.uint32 r1, r0, 2"),
           "conflict_32": (3760, "tshl.uint32 r1, r0, 9")}  # fmt: skip


@pytest.mark.parametrize("pattern", list(UB_LOAD))
def test_published_chains_of_ub_loads(pattern: str) -> None:
    published, where = UB_LOAD[pattern]
    step = "tld.ub.b32 r5, u3, r1\ntadd.uint32 r20, r20, r5\n"
    cycles = chain(step * 100, before=f"{where}\ntst.ub.b32 r0, u3, r1")
    assert abs(cycles / published - 1) < 0.05


@pytest.mark.parametrize(
    ("shift", "passes"),
    [(2, 4), (3, 4), (6, 4), (7, 8), (8, 16), (9, 32)],
)
def test_ub_conflicts(shift: int, passes: int) -> None:
    """Eight lanes at a time, 64 sub-banks of 8 bytes: a stride of 64 B reaches all of its eight
    in one row of the eight, one of 512 B opens a row of one sub-bank for each lane."""
    where = f"tshl.uint32 r1, r0, {shift}\ntst.ub.b32 r0, u3, r1"
    cycles = chain("tld.ub.b32 r5, u3, r1\ntmov r6, r5", before=where)
    assert cycles == 1 + PR.latency["simt.load"] + passes - 1 + 1


def test_lanes_in_one_8_bytes_are_merged() -> None:
    """Lanes 2i and 2i + 1 share 8 bytes, 512 B apart from the next pair."""
    where = "tshr.uint32 r1, r0, 1\ntshl.uint32 r1, r1, 9\ntand.uint32 r2, r0, 1\n"
    where += "tshl.uint32 r2, r2, 2\ntadd.uint32 r1, r1, r2\ntst.ub.b32 r0, u3, r1"
    cycles = chain("tld.ub.b32 r5, u3, r1\ntmov r6, r5", before=where)
    assert cycles == 1 + PR.latency["simt.load"] + 16 - 1 + 1


def test_conflicts_are_named() -> None:
    step = "tld.ub.b32 r5, u3, r1\ntadd.uint32 r6, r6, r5\n"
    text = "tsr.lane r0\ntshl.uint32 r1, r0, 9\ntmov r6, 0\ntst.ub.b32 r0, u3, r1\n" + step * 20
    waits = scheduler(run(text, 32, chip=PR)).waits
    # Of 32 passes 28 are conflicts; the first load waits for the store's 32 too.
    assert 20 * 28 <= waits["ub_conflict"] <= 20 * 28 + 32
    assert waits["ub_scoreboard"] > 0


# ---- global memory -------------------------------------------------------------------------------


def line_loads(lines: int, warps: int, chip: NpuChip, hint: str = "keep") -> Result:
    """Each load of a warp brings one line: lanes read its 32 words; lines go round the warps."""
    per_warp = lines // warps
    text = f"""
        tsr.tid r0
        tshl.uint32 r0, r0, 2
        tmov r1, 0
    loop:
        tld.gm.b32 r2, u0, r0, cache={hint}
        tadd.uint32 r0, r0, {warps * 128}
        tadd.uint32 r1, r1, 1
        tcmp.lt.uint32 q0, r1, {per_warp}
        tbra loop, when=q0
    """
    caller = f"mov x1, x_\nvcall 0, x1, 1, threads={32 * warps}\nend"
    made = program({"core.vector": caller, "simt.f": text},
                   [tensor("x_", "uint32", (lines * 32,), "in", 0)])  # fmt: skip
    return Machine(chip).run(made, {"x_": np.zeros(lines * 32, np.uint32)}, warm_l2=True)


def test_loads_that_wait_for_one_line_are_answered_one_by_one() -> None:
    """Of 64 warps that load one line, one misses; the return path answers each of them."""
    text = "tsr.lane r0\ntshl.uint32 r0, r0, 2\ntld.gm.b32 r1, u0, r0\ntmov r2, r1\n"
    one, all_ = (run(text, threads, chip=PR).cycles for threads in (32, 2048))
    assert SIMT is not None
    assert abs((all_ - one) / (63 * 128 / SIMT.return_rate) - 1) < 0.1


def test_misses_are_bound_by_mshrs() -> None:
    """Little's law: `mshrs` lines under way, each for the latency of L2."""
    chip = load("npu-950pr", {"simt.mshrs": "8"})
    result = line_loads(2048, 16, chip)
    per_line = chip.l2.latency / 8
    assert abs((result.cycles - 300) / (2048 * per_line) - 1) < 0.08
    waits = scheduler(result).waits
    assert waits["mshr_full"] > sum(waits.values()) / 2


def test_fills_are_bound_by_the_return_path() -> None:
    """64 lines in 250 cycles would be 33 B/cycle; the return path carries 25."""
    result = line_loads(4096, 64, PR)
    assert abs(4096 * 128 / (result.cycles - 300) / 25 - 1) < 0.05


def test_a_second_load_hits() -> None:
    twice = "tld.gm.b32 r5, u0, r1\ntmov r6, r5\ntsr.cycle r10\ntld.gm.b32 r7, u0, r1\ntmov r6, r7"
    assert chain(twice) == SIMT.hit + 2  # type: ignore[union-attr]


def test_bypass_does_not_keep() -> None:
    load_ = "tld.gm.b32 r5, u0, r1, cache=bypass\ntmov r6, r5\n"
    cycles = chain(load_ + "tsr.cycle r10\n" + load_, warm=True)
    assert cycles >= PR.l2.latency


def test_a_hit_on_a_pending_miss_waits_for_it() -> None:
    one = chain("tld.gm.b32 r5, u0, r1\ntmov r6, r5")
    two = chain("tld.gm.b32 r5, u0, r1\ntld.gm.b32 r7, u0, r1\ntmov r6, r5\ntmov r6, r7")
    assert one <= two <= one + 6
    assert run("tsr.lane r0\ntshl.uint32 r1, r0, 2\ntld.gm.b32 r2, u0, r1\n"
               "tld.gm.b32 r3, u0, r1", 32).memory["l2"].read_bytes == 128  # fmt: skip


@pytest.mark.parametrize(("shift", "lines"), [(2, 1), (3, 2), (5, 8), (7, 32)])
def test_lanes_are_gathered_into_lines(shift: int, lines: int) -> None:
    text = f"tsr.lane r0\ntshl.uint32 r1, r0, {shift}\ntld.gm.b32 r2, u0, r1"
    assert run(text, 32).memory["l2"].read_bytes == 128 * lines
    text = f"tsr.lane r0\ntshl.uint32 r1, r0, {shift}\ntst.gm.b32 r0, u2, r1"
    assert run(text, 32).memory["l2"].write_bytes == 128


def test_a_small_dcache_forgets() -> None:
    """16 KiB read twice: the second time from the D-cache if it is as large, else from L2."""
    text = """
        tmov r4, 0
    again:
        tsr.tid r0
        tshl.uint32 r0, r0, 2
        tmov r2, 0
    loop:
        tld.gm.b32 r3, u0, r0
        tadd.uint32 r0, r0, 1024
        tadd.uint32 r2, r2, 1
        tcmp.lt.uint32 q0, r2, 8
        tbra loop, when=q0
        tadd.uint32 r4, r4, 1
        tcmp.lt.uint32 q0, r4, 2
        tbra again, when=q0
    """
    large = run(text, 256, dcache=16).memory["l2"].read_bytes
    small = run(text, 256, dcache=4).memory["l2"].read_bytes
    assert large == 8192
    assert small == 16384


def test_atomics_on_one_sector_follow_each_other() -> None:
    def cycles(shift: int) -> int:
        before = f"tshl.uint32 r1, r0, {shift}\ntmov r5, 0\ntst.gm.b32 r5, u2, r1, 128"
        return chain("tatom.gm.add.uint32 r6, u2, r1, r0, 128\ntmov r7, r6", before=before)

    apart, together = cycles(7), cycles(2)
    # Apart, the last of 32 lines leaves 31 cycles after the first, and none waits.
    assert together - apart == 31 * PR.l2.atomic - 31


def test_barrier() -> None:
    assert chain("tbar") == SIMT.barrier + 1  # type: ignore[union-attr]
    assert scheduler(run("tbar\ntmov r0, 1", 64, chip=PR)).waits["barrier"] >= SIMT.barrier  # type: ignore[union-attr]


def test_branches_take_their_latency() -> None:
    assert chain("tbra on\non:\ntmov r20, 1") == PR.latency["simt.branch"] + 2


# ---- the account ---------------------------------------------------------------------------------

BUSY = """
    tsr.tid r0
    tshl.uint32 r1, r0, 2
    tld.gm.b32 r2, u0, r1
    texp.fp32 r3, r2
    tst.ub.b32 r3, u3, r1
    tbar
    tld.ub.b32 r4, u3, r1
    tst.gm.b32 r4, u2, r1
"""


@pytest.mark.parametrize("threads", [1, 32, 100, 256])
def test_scheduler_cycles_add_up(threads: int) -> None:
    """`Result` checks busy + waits + idle; inside functions it is V's busy time, four times."""
    result = run(BUSY, threads)
    unit = scheduler(result)
    assert unit.count == 16
    assert 4 * result.unit("vector.v").busy == unit.busy + sum(unit.waits.values())
    assert unit.busy == sum(i.issued for i in result.instructions if i.section == "simt.f")
    assert "not_selected" not in unit.waits


def test_words_say_what_warps_waited_for() -> None:
    found = {i.word: i for i in run(BUSY, 256, chip=CHIP).instructions if i.section == "simt.f"}
    assert found[0].waits["no_instruction"] > 0
    assert found[3].waits["memory_scoreboard"] > found[3].waits.get("fixed_latency", 0)
    assert found[6].waits["barrier"] > 0
    assert found[7].waits["ub_scoreboard"] > 0
    assert found[0].waits["not_selected"] == 4  # 8 warps, two on each scheduler


def test_programs_without_simt_have_no_such_unit() -> None:
    made = program({"core.vector": "end"})
    names = [u.name for u in Machine(CHIP).run(made).units]
    assert "simt.scheduler" not in names


def test_sub_cores_share_the_memory() -> None:
    """Many sub-cores that stream are slower than one, and the same run after run."""

    def cycles(blocks: int) -> int:
        text = """
            tsr.tid r0
            tshl.uint32 r0, r0, 2
            tadd.uint32 r0, r0, u1
            tmov r1, 0
        loop:
            tld.gm.b32 r2, u0, r0
            tadd.uint32 r0, r0, 1024
            tadd.uint32 r1, r1, 1
            tcmp.lt.uint32 q0, r1, 16
            tbra loop, when=q0
        """
        caller = "mov x1, x_\nsr.block x2\nmul x2, x2, 16384\nvcall 0, x1, 2, threads=256\nend"
        made = program({"core.vector": caller, "simt.f": text},
                       [tensor("x_", "uint32", (blocks * 4096,), "in", 0)], blocks)  # fmt: skip
        chip = load("npu-tiny", {"hbm.bandwidth": "5 GB/s", "simt.mshrs": "64"})
        return Machine(chip).run(made, {"x_": np.zeros(blocks * 4096, np.uint32)}).cycles

    assert cycles(4) > 1.5 * cycles(1)
    assert cycles(4) == cycles(4)
