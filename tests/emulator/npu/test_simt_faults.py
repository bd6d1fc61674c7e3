"""SIMT functions: errors with message, thread and position; races between threads."""

from __future__ import annotations

import numpy as np
import pytest
from npu_text import program, tensor
from simt_text import CHIP, made, run, words

from emulator.npu.chip import load
from emulator.npu.machine import HazardError, Machine
from emulator.result import Hazard
from isa.program import Program


def fails(body: str, kind: str, message: str, threads: int = 32, **options: int) -> Hazard:
    with pytest.raises(HazardError, match=message) as caught:
        run(body, threads, np.arange(64, dtype=np.uint32), **options)
    found: Hazard = caught.value.hazards[0]
    assert found.kind == kind
    return found


TID = """
    tsr.tid r0
    tshl.uint32 r1, r0, 2
"""


def test_bounds_name_thread_address_and_place() -> None:
    body = TID + "tadd.uint32 r1, r1, 8132\ntst.gm.b32 r0, u2, r1"
    found = fails(body, "bounds", r"thread 15 of f: 'tst.gm.b32 r0, u2, r1'.*reaches 4 bytes from"
                  r" global address 0x6000, where no tensor lies")  # fmt: skip
    assert found.where == ("simt.f", 3)
    assert found.cycle > 200


def test_bounds_in_timing_mode() -> None:
    body = TID + "tadd.uint32 r1, r1, 8132\ntld.gm.b32 r2, u2, r1"
    with pytest.raises(HazardError, match="thread 15 of f"):
        run(body, mode="timing")


def test_inputs_are_not_written() -> None:
    fails(TID + "tst.gm.b32 r0, u0, r1", "read_only", r"thread 0 of f: .*writes byte 0 of tensor"
          r" 'x_' .*which is an input")  # fmt: skip


def test_ub_ends_where_the_dcache_begins() -> None:
    """UB has 32 KiB, 4 of them cache: byte 28,672 is the first of the cache."""
    body = TID + "tst.ub.b32 r0, u3, r1, 28600"
    found = fails(body, "capacity", r"thread 18 of f: .*needed 28,676 bytes, available 28,672")
    assert found.where == ("simt.f", 2)
    fails(body, "capacity", "needed 28,604 bytes, available 24,576", dcache=8)


@pytest.mark.parametrize("space", ["ub", "gm"])
def test_unwritten_memory(space: str) -> None:
    base = "u3" if space == "ub" else "u2"
    found = fails(
        TID + f"tst.{space}.b8 r0, {base}, _, 4\ntld.{space}.b32 r2, {base}, r1, 4",
        "uninitialised", rf"thread 0 of f: 'tld\.{space}.*reads .*4.*, which nobody has written",
    )  # fmt: skip
    assert found.where == ("simt.f", 3)


def test_alignment() -> None:
    fails(TID + "tld.gm.b64 r2, u0, r1", "alignment", r"thread 1 of f: .*reaches global address"
          r" 0x4, which is no multiple of 8")  # fmt: skip
    fails("tmov r0, 2\ntst.ub.b32 r0, u3, r0", "alignment", "reaches UB byte 2, which is no")


def test_registers_follow_from_the_launch_size() -> None:
    chip = load("npu-950pr")
    body = "tmov r16, 1"
    assert run(body, 1024, chip=chip).cycles > 0
    with pytest.raises(HazardError, match="needs 17 registers per thread, available 16 with 1,025"):
        run(body, 1025, chip=chip)
    with pytest.raises(HazardError, match="needs 130 registers per thread, available 127"):
        run("tmov r126, 1\ntld.gm.b128 r126, u0, _", 32, chip=chip)


def test_launch_size_and_dcache() -> None:
    fails("texit", "launch", "257 threads; a launch has 1 to 256", 257)
    fails("texit", "launch", "0 threads; a launch has 1 to 256", 0)
    fails("texit", "dcache", r"a D-cache of 17 KiB; it takes 4 to 16 KiB of UB", dcache=17)


def test_arguments_are_passed() -> None:
    with pytest.raises(HazardError, match=r"function simt\.f reads u0 to u5; the call passes 4"):
        run("tmov r0, u5")


def test_no_simt_mode() -> None:
    with pytest.raises(HazardError, match="npu-910b has no SIMT mode"):
        Machine(load("npu-910b")).run(made("texit"), {"x_": words(), "y_": words()})


def test_divergence_errors() -> None:
    fails("tpop", "divergence", "thread 0 of f: 'tpop'.*no tpush is open")
    fails("tpush end\ntpop\nend:\ntpop", "divergence", "open tpush meets at word 2, not at word 1")
    body = "tsr.lane r0\ntcmp.lt.uint32 q0, r0, 5\ntbra there, when=q0\nthere:\ntbar"
    fails(body, "divergence", "a barrier in divergent code: 5 of the warp's 32 threads come to it")
    fails("loop:\ntpush end\ntbra loop\nend:\ntpop", "divergence", "has 64 entries, needed 65")


def test_push_names_a_pop() -> None:
    with pytest.raises(HazardError, match="tpush names word 1, which is no tpop"):
        run("tpush end\nend:\ntexit")


def test_cas_takes_a_value() -> None:
    with pytest.raises(HazardError, match="cas takes c="):
        run("tatom.gm.cas.uint32 _, u2, _, r0")
    with pytest.raises(HazardError, match="cas takes c="):
        run("tatom.gm.add.uint32 _, u2, _, r0, c=r1")


# ---- races ---------------------------------------------------------------------------------------

SWAP = """
    tsr.tid r0
    tshl.uint32 r1, r0, 2
    txor.uint32 r2, r1, 128
    tst.{space}.b32 r0, {base}, r1
    {between}
    tld.{space}.b32 r3, {base}, r2
"""


@pytest.mark.parametrize(("space", "base"), [("ub", "u3"), ("gm", "u2")])
def test_warps_race_without_a_barrier(space: str, base: str) -> None:
    """Each warp reads what the other writes."""
    wrong = SWAP.format(space=space, base=base, between="")
    found = fails(wrong, "race", r"thread \d+ of f: race in .*no barrier orders the threads", 64)
    assert {found.where, found.other} == {("simt.f", 3), ("simt.f", 4)}
    assert run(SWAP.format(space=space, base=base, between="tbar"), 64).cycles > 400


def test_lanes_of_one_warp_have_an_order() -> None:
    body = SWAP.format(space="ub", base="u3", between="").replace("128", "4")
    assert run(body, 32).cycles > 0


@pytest.mark.parametrize("space", ["ub", "gm"])
def test_atomics_race_with_stores_only(space: str) -> None:
    base = "u3" if space == "ub" else "u2"
    first = f"tsr.tid r0\ntcmp.eq.uint32 q0, r0, 0\ntst.{space}.b32 r0, {base}, _, when=q0\n"
    add = f"tatom.{space}.add.uint32 _, {base}, _, r0\n"
    assert run(first + "tbar\n" + add, 64).cycles > 0
    fails(first + add, "race", "no barrier orders the threads", 64)


def test_bytes_of_one_word_do_not_race() -> None:
    """Neighbouring threads of two warps write neighbouring bytes."""
    body = "tsr.tid r0\ntshr.uint32 r1, r0, 5\ntand.uint32 r2, r0, 31\ntshl.uint32 r2, r2, 1\n"
    body += "tadd.uint32 r1, r1, r2\ntst.ub.b8 r0, u3, r1"
    assert run(body, 64).cycles > 0


def test_warn_goes_on_after_a_race() -> None:
    result = run(SWAP.format(space="ub", base="u3", between=""), 64, hazards="warn")
    assert [h.kind for h in result.hazards] == ["race"]


WARP = "tst.gm.b32 r0, u2, r1, {offset}, when=q0"
THREAD = "{access}, when=q1"
ROW = (
    TID
    + """
    tcmp.lt.uint32 q0, r0, 32
    tcmp.eq.uint32 q1, r0, 32
    {first}
    {between}
    {second}
"""
)


@pytest.mark.parametrize("access", ["tst.gm.b32 r0, u2, _, 20", "tst.gm.b8 r0, u2, _, 22",
                                    "tld.gm.b32 r3, u2, _, 20"])  # fmt: skip
@pytest.mark.parametrize("offset", [0, 4])
@pytest.mark.parametrize("order", [1, -1])
def test_a_warps_row_and_a_thread_of_another_race(access: str, offset: int, order: int) -> None:
    """32 words at once, in 128 bytes of the tensor or across them, and a part of one of them."""
    both = [WARP.format(offset=offset), THREAD.format(access=access)]
    first, second = both[::order]
    if access.startswith("tld"):
        first = f"{WARP.format(offset=0)}\ntbar\n{first}"  # what is read has been written
    body = ROW.format(first=first, between="", second=second)
    found = fails(body, "race", "race in GM at byte 2[0-3] .*no barrier orders the threads", 64)
    assert found.other is not None
    assert run(ROW.format(first=first, between="tbar", second=second), 64).cycles > 0


def test_rows_keep_their_last_readers() -> None:
    """A row that two warps read is not the third's to write; a row beside it is."""
    body = (
        TID
        + """
        tand.uint32 r2, r1, 127
        tst.gm.b32 r0, u2, r1
        tbar
        tld.gm.b32 r3, u2, r2
        tcmp.ge.uint32 q0, r0, 64
        {target}
    """
    )
    fails(body.format(target="tst.gm.b32 r0, u2, r2, when=q0"), "race", "no barrier", 96)
    assert run(body.format(target="tst.gm.b32 r0, u2, r1, when=q0"), 96).cycles > 0


def two_blocks(body: str) -> Program:
    return made(body, 32, blocks=2)


def test_blocks_race_in_global_memory() -> None:
    with pytest.raises(HazardError, match=r"race in GM at byte 0 of tensor 'z_'"):
        Machine(CHIP).run(
            two_blocks("tsr.tid r0\ntshl.uint32 r1, r0, 2\ntst.gm.b32 r0, u2, r1"),
            {"x_": words(), "y_": words()},
        )


def test_blocks_that_write_neighbouring_words_do_not() -> None:
    body = "tsr.tid r0\ntshl.uint32 r1, r0, 3\ntmov r2, u3\ntshl.uint32 r2, r2, 2\n"
    body += "tadd.uint32 r1, r1, r2\ntst.gm.b32 r0, u2, r1"
    assert Machine(CHIP).run(two_blocks(body), {"x_": words(), "y_": words()}).cycles > 0


DMA = """
    mov x1, x_
    mov x2, z_
    mov x3, 32
    {load}
    {wait}
    vcall 0, x1, 2, threads=32
    {after}
    store.gm.b32 x2, x0, x3
    end
"""


def mixed(load_: str, wait: str, after: str) -> Program:
    body = """
        tsr.tid r0
        tshl.uint32 r0, r0, 2
        tsub.uint32 r1, r0, u0
        tld.ub.b32 r2, u3, r0
        tadd.uint32 r2, r2, r2
        tst.ub.b32 r2, u3, r0
    """
    caller = DMA.format(load=load_, wait=wait, after=after).replace("x1, 2,", "x1, 4,")
    tensors = [
        tensor("x_", "uint32", (32,), "in", 0), tensor("z_", "uint32", (32,), "out", 512),
    ]  # fmt: skip
    return program({"core.vector": caller.replace("mov x3, 32", "mov x3, 32\nmov x4, 0"),
                    "simt.f": body}, tensors)  # fmt: skip


X = np.arange(32, dtype=np.uint32)
LOAD = "load.ub.b32 x0, x1, x3"


def test_functions_between_loads_and_stores() -> None:
    made_ = mixed(LOAD + "\nset_flag.mte2.v 0", "wait_flag.mte2.v 0",
                  "set_flag.v.mte3 0\nwait_flag.v.mte3 0")  # fmt: skip
    result = Machine(CHIP).run(made_, {"x_": X})
    assert np.array_equal(result.outputs["z_"], 2 * X)


def test_engines_race_with_functions() -> None:
    with pytest.raises(HazardError, match=r"race in UB at byte 0: 'vcall.*'load\.ub"):
        Machine(CHIP).run(mixed(LOAD, "", "set_flag.v.mte3 0\nwait_flag.v.mte3 0"), {"x_": X})
    with pytest.raises(HazardError, match=r"race in UB at byte 0: .*no flag orders them"):
        Machine(CHIP).run(mixed(LOAD + "\nset_flag.mte2.v 0", "wait_flag.mte2.v 0", ""), {"x_": X})


def test_the_dcache_is_nobody_elses() -> None:
    """A load into the part of UB that becomes the cache, without a flag."""
    caller = """
        mov x1, x_
        mov x2, 32000
        mov x3, 32
        load.ub.b32 x2, x1, x3
        vcall 0, threads=32
        end
    """
    made_ = program({"core.vector": caller, "simt.f": "texit"},
                    [tensor("x_", "uint32", (32,), "in", 0)])  # fmt: skip
    with pytest.raises(HazardError, match=r"race in UB at byte 32,000: 'vcall"):
        Machine(CHIP).run(made_, {"x_": X})


def test_stores_of_functions_race_with_engines_in_global_memory() -> None:
    caller = """
        mov x1, z_
        mov x3, 32
        vcall 0, x1, 1, threads=32
        store.gm.b32 x1, x0, x3
        end
    """
    body = "tsr.tid r0\ntshl.uint32 r0, r0, 2\ntst.gm.b32 r0, u0, r0"
    made_ = program({"core.vector": caller, "simt.f": body},
                    [tensor("z_", "uint32", (32,), "out", 0)])  # fmt: skip
    with pytest.raises(HazardError, match=r"race in GM .*'store\.gm.*'tst\.gm|nobody has written"):
        Machine(CHIP).run(made_, {})


def test_warps_beyond_the_launch_are_not_there() -> None:
    """Threads that the launch does not have take part in nothing."""
    body = "tsr.lane r0\ntcmp.ge.uint32 q0, r0, 0\ntvote.ballot r1, q0\n"
    body += "tsr.tid r2\ntshl.uint32 r2, r2, 2\ntst.gm.b32 r1, u2, r2"
    got = run(body, 40).outputs["z_"]
    assert np.all(got[:32] == 0xFFFFFFFF)
    assert np.all(got[32:40] == 0xFF)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("warp", "64", "32 threads"), ("schedulers", "9", "at most 8"), ("mshrs", "1000", "at most"),
     ("dcache_least", "512 B", "dcache_least"), ("line", "64 B", "128 B"),
     ("threads", "2049", "at most 2048"), ("registers.256", "128", "127 at most")],
)  # fmt: skip
def test_impossible_chips(key: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load("npu-tiny", {f"simt.{key}": value})
