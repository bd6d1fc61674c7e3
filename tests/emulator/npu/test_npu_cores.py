"""Sub-cores together: mixed blocks, counted flags, more blocks than cores, the vectors' DMA."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npu_text import program, tensor

from emulator.npu._engine import op_size, uop_size
from emulator.npu.chip import load
from emulator.npu.machine import HazardError, Machine
from emulator.npu.prepare import OP
from emulator.npu.simt import UOP

CHIP = load("npu-tiny")

CUBE = """
    mov x1, a
    mov x4, 16
    load.l1.b16 x0, x1, x4, rows=x4
    set_flag.mte2.mte1 0
    wait_flag.mte2.mte1 0
    load0.a.b16 x0, x0, x4, x4
    load0.b.b16 x0, x0, x4, x4, transpose
    set_flag.mte1.m 0
    wait_flag.mte1.m 0
    mmad.fp16 x0, x0, x0, x4, x4, x4, init, unit=set
    fix.ub.fp32.fp32 x0, x0, x4, x4, split, unit
    xset.fix.vectors 3
    end
"""
VECTOR = """
    xwait.v 3
    vcall 0
    set_flag.v.mte3 0
    wait_flag.v.mte3 0
    sr.sub x5
    shl x5, x5, 9
    mov x1, c
    add x1, x1, x5
    mov x4, 128
    mov x6, 1024
    store.gm.b32 x1, x6, x4
    end
"""
DOUBLE = """
    mov x6, 1024
    loop 2, out
    vld.b32.norm v1, x7, post=256
    vadd.fp32 v1, v1, v1
    vst.b32.norm v1, x6, post=256
out:
    end
"""
TENSORS = [tensor("a", "fp16", (16, 16), "in", 0), tensor("c", "fp32", (16, 16), "out", 512)]


def test_cube_hands_its_tile_to_both_vectors() -> None:
    """L0C -> UB of both vectors, each doubles its half, counted flags in between."""
    a = np.random.default_rng(0).integers(-3, 4, (16, 16)).astype(np.float16)
    made = program({"core.cube": CUBE, "core.vector": VECTOR, "simd.f": DOUBLE}, TENSORS)
    result = Machine(CHIP).run(made, {"a": a.view(np.uint16)})
    want = 2 * (a.astype(np.float32) @ a.astype(np.float32).T)
    assert np.array_equal(result.outputs["c"].view(np.float32), want)
    waits = result.unit("vector.v").waits
    assert max(waits, key=lambda reason: waits[reason]) == "hbm"
    assert Machine(CHIP).run(made, mode="timing").cycles == result.cycles


def test_without_the_counted_flag_it_is_a_race() -> None:
    text = VECTOR.replace("xwait.v 3", "")
    made = program({"core.cube": CUBE, "core.vector": text, "simd.f": DOUBLE}, TENSORS)
    with pytest.raises(HazardError, match=r"race in UB|which nobody has written"):
        Machine(CHIP).run(made, {"a": np.zeros((16, 16), np.uint16)})


def test_the_910b_has_no_such_path() -> None:
    made = program({"core.cube": CUBE, "core.vector": VECTOR, "simd.f": DOUBLE}, TENSORS)
    with pytest.raises(HazardError, match="npu-910b has no path from L0C to UB"):
        Machine(load("npu-910b")).run(made, {})


COPY = """
    sr.block x1
    mov x2, ROWBYTES
    mul x1, x1, x2
    mov x3, x_
    add x3, x3, x1
    mov x4, y_
    add x4, x4, x1
    mov x5, N
    load.ub.b16 x0, x3, x5
    set_flag.mte2.mte3 0
    wait_flag.mte2.mte3 0
    store.gm.b16 x4, x0, x5
    end
"""


@pytest.mark.parametrize("blocks", [1, 3, 4, 11])
def test_more_blocks_than_cores(blocks: int) -> None:
    """One row per block; npu-tiny has four vector sub-cores."""
    x = np.arange(blocks * 32, dtype=np.uint16).reshape(blocks, 32)
    tensors = [
        tensor("x_", "uint16", x.shape, "in", 0), tensor("y_", "uint16", x.shape, "out", 4096)
    ]  # fmt: skip
    text = COPY.replace("ROWBYTES", "64").replace("N", "32")
    made = program({"core.vector": text}, tensors, blocks=blocks)
    result = Machine(CHIP).run(made, {"x_": x})
    assert np.array_equal(result.outputs["y_"], x)
    assert [u.count for u in result.units if u.name == "vector.mte2"] == [4]


def test_a_meeting_of_all_blocks() -> None:
    """grid: nobody goes on before the last has come; block 0 comes late."""
    text = """
        sr.block x1
        br.ne x1, 0, ready
        mov x2, 3000
    spin:
        sub x2, x2, 1
        br.gt x2, 0, spin
    ready:
        xset.scalar.grid 1
        xwait.scalar 1
        end
    """
    made = program({"core.vector": text}, blocks=4)
    result = Machine(CHIP).run(made, {})
    assert result.cycles > 3000
    assert result.unit("vector.scalar").waits["scalar"] > 3 * 3000
    with pytest.raises(HazardError, match="counted flag 1"):
        Machine(CHIP).run(program({"core.vector": text}, blocks=5), {})


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 9), n=st.integers(1, 17), extra=st.integers(0, 4), below=st.integers(0, 3),
    transpose=st.booleans(), width=st.sampled_from(["b8", "b16", "b32"]), planes=st.integers(1, 3),
)  # fmt: skip
def test_dma_shapes(
    rows: int, n: int, extra: int, below: int, transpose: bool, width: str, planes: int
) -> None:
    """Strides, planes, padding and transposition against numpy."""
    kind = {"b8": np.uint8, "b16": np.uint16, "b32": np.uint32}[width]
    dtype = np.dtype(kind).name
    rng = np.random.default_rng(rows * 31 + n)
    x = rng.integers(0, 200, (planes, rows + 1, n + 2)).astype(kind)
    out_rows, out_cols = (n, rows) if transpose else (rows, n)
    shape = (planes, out_rows + below, out_cols + extra)
    tensors = [tensor("x_", dtype, x.shape, "in", 0), tensor("y_", dtype, shape, "out", 65536)]
    item = x.itemsize
    text = f"""
        mov x1, x_
        mov x2, y_
        mov x3, {n}
        mov x4, {rows}
        mov x5, {(n + 2) * item}
        mov x6, {planes}
        mov x7, {(rows + 1) * (n + 2) * item}
        mov x8, {shape[2]}
        mov x9, {shape[1]}
        mov x10, 77
        mov x11, {int(np.prod(shape))}
        load.ub.{width} x0, x1, x3, rows=x4, src_pitch=x5, planes=x6, src_plane=x7, cols=x8,\
 high=x9, pad=x10{", transpose" if transpose else ""}
        set_flag.mte2.mte3 0
        wait_flag.mte2.mte3 0
        store.gm.{width} x2, x0, x11
        end
    """
    got = Machine(CHIP).run(program({"core.vector": text}, tensors), {"x_": x}).outputs["y_"]
    want = np.full(shape, 77, kind)
    part = x[:, :rows, :n]
    want[:, :out_rows, :out_cols] = part.transpose(0, 2, 1) if transpose else part
    assert np.array_equal(got, want)


def test_scalar_arithmetic() -> None:
    """A program of every scalar instruction leaves its results in UB and stores them."""
    checks = [
        ("add x9, x5, x6", 7 - 3), ("sub x9, x5, x6", 10), ("mul x9, x5, -5", -35),
        ("div x9, x6, 2", -1), ("rem x9, x6, 2", -1), ("div x9, x5, 0", -1), ("rem x9, x5, 0", 7),
        ("and x9, x5, 6", 6), ("or x9, x5, 8", 15), ("xor x9, x5, 2", 5), ("shl x9, x5, 4", 112),
        ("shr x9, x6, 60", 15), ("sar x9, x6, 1", -2), ("min x9, x5, x6", -3),
        ("max x9, x5, x6", 7), ("cmp.lt x9, x6, x5", 1), ("cmp.ltu x9, x6, x5", 0),
        ("cmp.eq x9, x5, 7", 1), ("mov x9, 1.0", 0x3F800000),
    ]  # fmt: skip
    lines = ["mov x5, 7", "mov x6, -3", "mov x10, 0", "call x12, start", "jump finish"]
    lines += ["start:"]
    for i, (text, _) in enumerate(checks):
        lines += [text, f"st.ub.b64 x9, x10, {8 * i}"]
    lines += ["ret x12", "finish:", "ld.ub.s8 x9, x10, 8", f"st.ub.b64 x9, x10, {8 * len(checks)}"]
    n = 2 * (len(checks) + 1)
    lines += ["set_flag.scalar.mte3 0", "wait_flag.scalar.mte3 0", "mov x1, y_", f"mov x2, {n}",
              "store.gm.b32 x1, x0, x2", "end"]  # fmt: skip
    made = program({"core.vector": "\n".join(lines)}, [tensor("y_", "int32", (n,), "out", 0)])
    got = Machine(CHIP).run(made, {}).outputs["y_"].view(np.int64)
    assert got.tolist() == [value for _, value in checks] + [10]


RACERS = """
    mov x1, y_
    mov x2, 16
    mov x3, 7
    vcall 0
    set_flag.v.mte3 0
    wait_flag.v.mte3 0
    sr.block x4
    mul x4, x4, STRIDE
    add x1, x1, x4
    store.gm.b32 x1, x0, x2
    MEETING
    end
"""
ZERO = "vdup.int32 v1, 7\nvst.b32.norm v1, x0\nend"


def racers(stride: int, meeting: str = "") -> int:
    text = RACERS.replace("STRIDE", str(stride)).replace("MEETING", meeting)
    tensors = [tensor("y_", "int32", (64,), "out", 0)]
    made = program({"core.vector": text, "simd.f": ZERO}, tensors, blocks=2)
    return Machine(CHIP).run(made, {}).cycles


def test_blocks_that_write_the_same_bytes_race() -> None:
    """Neighbours in one line do not; overlapping by one element does."""
    assert racers(64) > 0
    with pytest.raises(HazardError, match="race in GM at byte 60: 'store"):
        racers(60)


def test_a_meeting_orders_blocks() -> None:
    again = "xset.mte3.grid 0\nxwait.mte2 0\nmov x1, y_\nload.ub.b32 x5, x1, x2"
    head = "mov x5, 1024\n"
    with pytest.raises(HazardError, match="race in GM"):
        racers(
            64,
            head
            + again.replace("xset.mte3.grid 0\nxwait.mte2 0", "barrier.all")
            .replace("x1, x2", "x1, x6")
            .replace("mov x1, y_", "mov x1, y_\nmov x6, 32"),
        )
    assert (
        racers(
            64,
            head
            + again.replace("x1, x2", "x1, x6").replace("mov x1, y_", "mov x1, y_\nmov x6, 32"),
        )
        > 0
    )


def test_the_c_struct_and_the_numpy_row_agree() -> None:
    assert op_size() == OP.itemsize
    assert uop_size() == UOP.itemsize


def test_instructions_are_counted() -> None:
    made = program({"core.vector": "mov x1, 5\nback:\nsub x1, x1, 1\nbr.gt x1, 0, back\nend"})
    uses = {use.word: use.issued for use in Machine(CHIP).run(made, {}).instructions}
    assert uses == {0: 1, 1: 5, 2: 5, 3: 1}


@pytest.mark.parametrize("extra", [0, 1, 7, 100])
def test_a_pipe_takes_an_instruction_when_the_scalar_unit_comes_to_it(extra: int) -> None:
    """Not before: what the scalar unit computes first delays the load, and everything behind it,
    by that many cycles, and an instruction that comes while MTE2 works costs nothing."""

    def cycles(before: int, between: int) -> int:
        lines = ["mov x1, a", "mov x4, 16", *["add x7, x7, 1"] * before]
        lines += ["load.l1.b16 x0, x1, x4, rows=x4", *["add x7, x7, 1"] * between]
        lines += ["set_flag.mte2.mte1 0", "wait_flag.mte2.mte1 0", "load0.a.b16 x0, x0, x4, x4"]
        made = program({"core.cube": "\n".join([*lines, "end"])}, TENSORS)
        return Machine(CHIP).run(made, mode="timing").cycles

    assert cycles(extra, 0) == cycles(0, 0) + extra
    assert cycles(0, extra) == cycles(0, 0)
