"""Every error of the machine: its message, its position, and what goes on under hazards="warn"."""

from __future__ import annotations

import numpy as np
import pytest
from npu_text import program, tensor

from emulator.npu.chip import load
from emulator.npu.globals import LayoutError
from emulator.npu.machine import HazardError, Machine
from emulator.result import Hazard
from isa.program import Program, Section

CHIP = load("npu-tiny")
A = tensor("a", "fp16", (16, 16), "in", 0)
C = tensor("c", "fp32", (16, 16), "out", 4096)
CODES = {"a": np.zeros((16, 16), np.uint16)}


def fails(made: Program, kind: str, message: str, chip: str = "npu-tiny") -> tuple[Hazard, ...]:
    with pytest.raises(HazardError, match=message) as caught:
        Machine(load(chip)).run(made, CODES)
    assert caught.value.hazards[0].kind == kind
    return caught.value.hazards


def cube(text: str) -> Program:
    return program({"core.cube": text}, [A, C])


def test_race_names_both_instructions() -> None:
    made = cube("""
        mov x1, a
        mov x4, 16
        load.l1.b16 x0, x1, x4, rows=x4
        load0.a.b16 x0, x0, x4, x4
        end
    """)
    found = fails(made, "race", r"race in L1 at byte 0: 'load0\.a\.b16.*'load\.l1\.b16")
    assert found[0].where == ("core.cube", 3)
    assert found[0].other == ("core.cube", 2)


def test_a_race_is_found_whatever_the_timing() -> None:
    """The load is long complete when the other pipe reads; without a flag it is a race."""
    made = cube("""
        mov x1, a
        mov x4, 16
        mov x5, 5000
        load.l1.b16 x0, x1, x4, rows=x4
    wait:
        sub x5, x5, 1
        br.gt x5, 0, wait
        load0.a.b16 x0, x0, x4, x4
        end
    """)
    fails(made, "race", "no flag orders them")


def test_a_barrier_orders() -> None:
    made = cube("""
        mov x1, a
        mov x4, 16
        load.l1.b16 x0, x1, x4, rows=x4
        barrier.all
        load0.a.b16 x0, x0, x4, x4
        end
    """)
    assert Machine(CHIP).run(made, CODES).cycles > 0


def test_warn_goes_on() -> None:
    made = cube("""
        mov x1, a
        mov x4, 16
        load.l1.b16 x0, x1, x4, rows=x4
        load0.a.b16 x0, x0, x4, x4
        end
    """)
    result = Machine(CHIP).run(made, CODES, hazards="warn")
    assert [h.kind for h in result.hazards] == ["race"]


def test_deadlock_says_who_waits_for_what() -> None:
    made = cube("wait_flag.mte2.mte1 3\nend")
    fails(made, "deadlock", r"mte1 stands at 'wait_flag\.mte2\.mte1 3'.*flag 3 of \(mte2, mte1\)")
    made = cube("xwait.scalar 2\nend")
    fails(made, "deadlock", r"scalar stands at 'xwait\.scalar 2'.*counted flag 2")


def test_raising_a_raised_flag() -> None:
    made = cube("set_flag.mte2.mte1 1\nset_flag.mte2.mte1 1\nend")
    found = fails(made, "flag", r"flag 1 of \(mte2, mte1\) is raised while it is up")
    assert found[0].where == ("core.cube", 1)


def test_capacity_says_needed_and_available() -> None:
    made = cube("""
        mov x1, a
        mov x2, 65280
        mov x4, 16
        load.l1.b16 x2, x1, x4, rows=x4, dst_pitch=x4
        end
    """)
    fails(made, "capacity", r"does not fit L1: needed 65,552 bytes, available 65,536")


def test_bounds_of_tensors() -> None:
    made = cube("""
        mov x1, a
        add x1, x1, 480
        mov x4, 32
        load.l1.b16 x0, x1, x4
        end
    """)
    fails(made, "bounds", r"reaches 64 bytes from byte 480 of tensor 'a' \(512 bytes\)")
    made = cube("mov x1, 99999\nmov x4, 1\nload.l1.b8 x0, x1, x4\nend")
    fails(made, "bounds", "where no tensor lies")


def test_poison() -> None:
    made = cube("""
        mov x4, 16
        load0.a.b16 x0, x0, x4, x4
        end
    """)
    fails(made, "uninitialised", "reads L1 byte 0, which nobody has written")
    made = cube("mov x1, c\nmov x4, 4\nload.l1.b32 x0, x1, x4\nend")
    fails(made, "uninitialised", "of tensor 'c'")


def test_inputs_are_read_only() -> None:
    made = program({"core.vector": """
        mov x1, a
        mov x4, 16
        load.ub.b16 x0, x1, x4
        set_flag.mte2.mte3 0
        wait_flag.mte2.mte3 0
        store.gm.b16 x1, x0, x4
        end
    """}, [A, C])  # fmt: skip
    fails(made, "read_only", "tensor 'a'.*which is an input")


def test_running_off_the_end() -> None:
    fails(cube("mov x1, 1"), "target", "does it lack an 'end'")


def test_static_faults_come_all_at_once() -> None:
    made = program({"core.cube": """
        mmad.mxfp8 x0, x0, x0, x1, x1, x1, init
        fix.ub.fp32.fp32 x0, x0, x1, x1
        set_flag.v.mte2 0
        jump 77
        vadd.fp32 v0, v1, v2
        end
    """})  # fmt: skip
    with pytest.raises(HazardError) as caught:
        Machine(load("npu-910b")).run(made, {})
    text = str(caught.value)
    for part in ("does not multiply mxfp8; it grants fp16, bf16, fp32, int8",
                 "no path from L0C to UB", "a cube sub-core has no pipe v",
                 "target 77 is outside", "vadd belongs into simd"):  # fmt: skip
        assert part in text
    assert len(caught.value.hazards) == 5


def test_sections_and_words() -> None:
    bad = Program("npu", "npu-tiny", (Section("core.both", b"\xff" * 16),))
    with pytest.raises(HazardError, match=r"'core\.both' is none of core\.cube"):
        Machine(CHIP).run(bad, {})
    with pytest.raises(ValueError, match="a program for 'lpu'"):
        Machine(CHIP).run(Program("lpu", "lpu-tiny", ()), {})


def test_inputs_must_fit() -> None:
    made = cube("end")
    with pytest.raises(LayoutError, match="input 'a' is missing"):
        Machine(CHIP).run(made, {})
    with pytest.raises(LayoutError, match=r"\(16, 16\), not \(16,\)"):
        Machine(CHIP).run(made, {"a": np.zeros(16, np.uint16)})
    with pytest.raises(LayoutError, match="fp16 codes"):
        Machine(CHIP).run(made, {"a": np.zeros((16, 16), np.float32)})
