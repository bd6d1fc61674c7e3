"""Values are computed later, on several host threads: nobody can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npu_text import program, tensor

from emulator.npu import machine
from emulator.npu.chip import load
from emulator.npu.machine import Machine
from programs.npu.matmul import MatmulKernel
from programs.npu.tiling import chunk

CHIP = load("npu-tiny")
ROOM = 4096  # bytes that all blocks read and write

START = """
        sr.block x1
        mov x2, x_
        mov x10, y_
        mov x3, {row}
        mov x4, {rows}
        mov x7, {x_pitch}
        mov x8, {y_pitch}
"""
STEP = """
    mul x5, x1, {spacing}
    add x5, x5, {first}
    rem x5, x5, 3000
    add x5, x5, x2
    load.ub.b8 x0, x5, x3, rows=x4, src_pitch=x7
    set_flag.mte2.mte3 0
    wait_flag.mte2.mte3 0
    mul x5, x1, {spread}
    add x5, x5, {to}
    rem x5, x5, 3000
    add x5, x5, x10
    store.gm.b8 x5, x0, x3, rows=x4, dst_pitch=x8
    set_flag.mte3.mte2 0
    wait_flag.mte3.mte2 0
    mov x2, x10
"""
READ = """
    ld.gm.u8 x9, x5, 3
    add x2, x2, x9
    st.gm.b8 x9, x5, 1
"""


def run(text: str, blocks: int, threads: int) -> tuple[Any, ...]:
    """All that a run shows: values, cycles, accounts, hazards."""
    x = np.arange(ROOM, dtype=np.uint16).astype(np.uint8)
    tensors = [tensor("x_", "uint8", (ROOM,), "in", 0), tensor("y_", "uint8", (ROOM,), "out", ROOM)]
    made = program({"core.vector": text}, tensors, blocks=blocks)
    result = Machine(CHIP).run(made, {"x_": x}, hazards="warn", threads=threads)
    hazards = [(h.message, h.cycle, h.count) for h in result.hazards]
    return result.outputs["y_"].tobytes(), result.cycles, result.units, hazards


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(*[st.integers(0, 700)] * 2, *[st.integers(0, 3000)] * 2, st.booleans()),
        min_size=1, max_size=6,
    ),
    blocks=st.integers(2, 7), row=st.integers(1, 150), rows=st.integers(1, 4),
)  # fmt: skip
def test_blocks_that_race_see_the_order_of_events(
    steps: list[Any], blocks: int, row: int, rows: int
) -> None:
    """Reads and writes of the same bytes without any order, some of them by the scalar unit."""
    text = START.format(row=row, rows=rows, x_pitch=row + 9, y_pitch=row + 40)
    for spacing, spread, first, to, scalar in steps:
        text += STEP.format(spacing=spacing, spread=spread, first=first, to=to)
        text += READ if scalar else ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "MOST_WORK", 1)
        want = run(text + "end", blocks, 1)
    for threads in (1, 2, 3):
        assert run(text + "end", blocks, threads) == want


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from((0, 128, 700, 1024, 2048)), st.sampled_from((0, 512, 1024)),
                  *[st.integers(0, 24).map(lambda n: 128 * n)] * 2, st.integers(0, 3)),
        min_size=1, max_size=5,
    ),
    blocks=st.integers(2, 5), row=st.sampled_from((100, 128, 1024, 1500, 2048)),
    rows=st.integers(1, 3),
)  # fmt: skip
def test_races_are_the_same_without_values(
    steps: list[Any], blocks: int, row: int, rows: int
) -> None:
    """Timing notes accesses to tensors by blocks of 1024 bytes, a full run by 128."""
    text = START.format(row=row, rows=rows, x_pitch=row + 24, y_pitch=row + 1024 - row % 1024)
    for spacing, spread, first, to, odd in steps:
        text += STEP.format(spacing=spacing, spread=spread, first=first, to=to + odd)
    room = 4 * ROOM
    tensors = [tensor("x_", "uint8", (room,), "in", 0), tensor("y_", "uint8", (room,), "out", room)]
    made = program({"core.vector": text + "end"}, tensors, blocks=blocks)
    found = [
        [
            (h.message, h.cycle, h.count)
            for h in Machine(CHIP).run(made, inputs, mode=mode, hazards="warn").hazards
            if h.kind == "race"
        ]
        for mode, inputs in (("timing", {}), ("full", {"x_": np.zeros(room, np.uint8)}))
    ]
    assert found[0] == found[1]


def test_a_segment_ends_where_another_core_reads() -> None:
    """Each block doubles what its neighbour wrote before the meeting."""
    text = """
        sr.block x1
        mov x3, 64
        mov x4, 3
        mov x5, x_
        mul x6, x1, x3
        add x5, x5, x6
        load.ub.b8 x0, x5, x3
        set_flag.mte2.mte3 0
        wait_flag.mte2.mte3 0
        mov x7, y_
        add x8, x7, x6
        store.gm.b8 x8, x0, x3
        xset.mte3.grid 4
        xwait.mte2 4
        add x6, x6, x3
        rem x6, x6, 256
        add x8, x7, x6
        load.ub.b8 x3, x8, x3
        set_flag.mte2.mte3 1
        wait_flag.mte2.mte3 1
        add x8, x8, 256
        store.gm.b8 x8, x3, x3
        end
    """
    x = np.random.default_rng(0).integers(0, 256, 256).astype(np.uint8)
    tensors = [tensor("x_", "uint8", (256,), "in", 0), tensor("y_", "uint8", (512,), "out", 512)]
    made = program({"core.vector": text}, tensors, blocks=4)
    for threads in (1, 2):
        got = Machine(CHIP).run(made, {"x_": x}, threads=threads).outputs["y_"]
        assert np.array_equal(got, np.concatenate([x, x]))


@pytest.mark.parametrize("dtype", ["int8", "bf16", "mxfp8", "mxfp4"])
def test_threads_do_not_matter(dtype: str) -> None:
    kernel = MatmulKernel()
    bits = []
    for tile, threads in (("auto", 1), ("auto", 2), ("32x16", 2), ("16x32", 3)):
        tile = tile if tile == "auto" else f"{tile}x{chunk(CHIP, dtype)}"
        params = kernel.resolve({"m": 75, "n": 86, "k": 900, "tile": tile})
        made = kernel.build(CHIP, dtype, params)
        tensors = kernel.encode(dtype, params, kernel.inputs(params, 3)).tensors
        bits.append(Machine(CHIP).run(made, tensors, threads=threads).outputs["c"].tobytes())
    assert len(set(bits)) == 1


def test_a_granule_that_two_cores_have_written() -> None:
    """Its last writer does not tell who wrote the bytes beside: core 1, and core 0 reads them."""
    text = """
        sr.block x1
        mov x2, x_
        mov x7, y_
        mov x3, 32
        br.eq x1, 0, late
        br.ne x1, 2, out
        load.ub.b8 x0, x2, x3
        set_flag.mte2.mte3 0
        wait_flag.mte2.mte3 0
        store.gm.b8 x7, x0, x3
    out:
        end
    late:
        mov x9, 3000
    again:
        sub x9, x9, 1
        br.gt x9, 0, again
        load.ub.b8 x0, x2, x3
        set_flag.mte2.mte3 0
        wait_flag.mte2.mte3 0
        add x8, x7, 64
        store.gm.b8 x8, x0, x3
        set_flag.mte3.mte2 0
        wait_flag.mte3.mte2 0
        load.ub.b8 x3, x7, x3
        set_flag.mte2.mte3 1
        wait_flag.mte2.mte3 1
        add x8, x7, 256
        store.gm.b8 x8, x3, x3
        end
    """
    x = np.arange(32, dtype=np.uint8)
    tensors = [tensor("x_", "uint8", (32,), "in", 0), tensor("y_", "uint8", (512,), "out", 512)]
    made = program({"core.vector": text}, tensors, blocks=3)
    got = Machine(CHIP).run(made, {"x_": x}, threads=1, hazards="warn").outputs["y_"]
    assert np.array_equal(got[256:288], x)
