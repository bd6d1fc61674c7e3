"""The cube path end to end: MTE2, MTE1, M, FIX, with values against the numerics package."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from npu_text import program, tensor

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from emulator.numerics import decode64, dequantize_blocks, encode, exact_dot, quantize_blocks
from emulator.result import Result
from isa.npu import row_bytes

CHIP = load("npu-tiny")
WIDTH = {4: "b4", 8: "b8", 16: "b16", 32: "b32"}
BITS = {"fp32": 32, "fp16": 16, "bf16": 16, "mxfp4": 4}
ELEMENT = {"mxfp8": "e4m3", "mxfp8_e5m2": "e5m2", "mxfp4": "e2m1"}
TEXT = """
    mov x1, a
    mov x2, b
    mov x3, c
    mov x4, m
    mov x5, n
    mov x6, k
    mov x7, 16384
    mov x8, 32768
    mov x9, 40960
    mov x10, groups
    load.l1.WIDTH x0, x1, x6, rows=x4
    load.l1.WIDTH x7, x2, x5, rows=x6
    SCALES_L1
    set_flag.mte2.mte1 0
    wait_flag.mte2.mte1 0
    load0.a.WIDTH x0, x0, x4, x6
    load0.b.WIDTH x0, x7, x6, x5
    SCALES_L0
    set_flag.mte1.m 0
    wait_flag.mte1.m 0
    mmad.TYPE x0, x0, x0, x4, x5, x6, init
    set_flag.m.fix 0
    wait_flag.m.fix 0
    fix.gm.ACC.ACC x3, x0, x4, x5
    end
"""
SCALES_L1 = "load.l1.b8 x8, as, x10, rows=x4\nload.l1.b8 x9, bs, x5, rows=x10"
SCALES_L0 = "load0.as.b8 x0, x8, x4, x10\nload0.bs.b8 x0, x9, x10, x5"


def text(dtype: str) -> str:
    scaled = dtype in ELEMENT
    result = TEXT.replace("WIDTH", WIDTH[BITS.get(dtype, 8)]).replace("TYPE", dtype)
    result = result.replace("ACC", "int32" if dtype == "int8" else "fp32")
    scales = SCALES_L1.replace("as,", "x11,").replace("bs,", "x12,")
    head = "mov x11, as\nmov x12, bs\n" if scaled else ""
    result = result.replace("SCALES_L1", scales if scaled else "")
    return head + result.replace("SCALES_L0", SCALES_L0 if scaled else "")


def multiply(
    dtype: str, m: int, n: int, k: int, codes: dict[str, Any], mode: str = "full"
) -> Result:
    element = ELEMENT.get(dtype, dtype)
    blocks = -(-k // 32)
    tensors = [
        tensor("a", element, (m, k), "in", 0),
        tensor("b", element, (k, n), "in", 1 << 20),
        tensor("c", "int32" if dtype == "int8" else "fp32", (m, n), "out", 2 << 20),
    ]
    if dtype in ELEMENT:
        tensors += [
            tensor("as", "e8m0", (m, blocks), "in", 3 << 20),
            tensor("bs", "e8m0", (blocks, n), "in", 4 << 20),
        ]
    made = program({"core.cube": text(dtype)}, tensors, m=m, n=n, k=k, groups=blocks)
    return Machine(CHIP).run(made, codes, mode=mode)


def chunked(a: Any, b: Any, chunk: int) -> Any:
    """The documented accumulation: exact chunks, rounded once, added in fp32."""
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for first in range(0, a.shape[1], chunk):
        total = total + exact_dot(a[:, first : first + chunk], b[first : first + chunk])
    return total


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32", "e4m3", "e5m2", "hif8"])
@settings(max_examples=8, deadline=None)
@given(m=st.integers(1, 33), n=st.integers(1, 33), k=st.integers(1, 70), seed=st.integers(0, 99))
def test_floats(dtype: str, m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = min(k, 30) if dtype == "fp32" else k
    a = encode(rng.standard_normal((m, k)).astype(np.float32), dtype)
    b = encode(rng.standard_normal((k, n)).astype(np.float32), dtype)
    got = multiply(dtype, m, n, k, {"a": a, "b": b}).outputs["c"].view(np.float32)
    chunk = 128 * 8 // BITS.get(dtype, 8)
    want = chunked(decode64(a, dtype), decode64(b, dtype), chunk)
    assert np.array_equal(got, want)


@settings(max_examples=8, deadline=None)
@given(m=st.integers(1, 33), n=st.integers(1, 33), k=st.integers(1, 200), seed=st.integers(0, 99))
def test_integers(m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(-128, 128, (m, k), np.int8)
    b = rng.integers(-128, 128, (k, n), np.int8)
    got = multiply("int8", m, n, k, {"a": a, "b": b}).outputs["c"]
    assert np.array_equal(got, a.astype(np.int32) @ b.astype(np.int32))


@pytest.mark.parametrize("dtype", sorted(ELEMENT))
@settings(max_examples=8, deadline=None)
@given(m=st.integers(1, 20), n=st.integers(1, 20), k=st.integers(1, 100), seed=st.integers(0, 99))
def test_block_scaled(dtype: str, m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = quantize_blocks(rng.standard_normal((m, k)).astype(np.float32), dtype, 1, "floor")
    b = quantize_blocks(rng.standard_normal((k, n)).astype(np.float32), dtype, 0, "floor")
    codes = {"a": a.codes, "b": b.codes, "as": a.scales, "bs": b.scales}
    got = multiply(dtype, m, n, k, codes).outputs["c"].view(np.float32)
    left = dequantize_blocks(a.codes, a.scales, dtype, 1)
    right = dequantize_blocks(b.codes, b.scales, dtype, 0)
    chunk = 256 if dtype == "mxfp4" else 128
    assert np.array_equal(got, chunked(left, right, chunk))


def test_saturates() -> None:
    """Two mmads of the largest products, 70 times: int32 stays at its end."""
    text_ = """
        mov x1, a
        mov x4, 16
        mov x6, 128
        mov x8, 2048
        mov x9, 2000
        load.l1.b8 x0, x1, x6, rows=x4
        set_flag.mte2.mte1 0
        wait_flag.mte2.mte1 0
        load0.a.b8 x0, x0, x4, x6
        load0.b.b8 x0, x0, x6, x4, pitch=x6, transpose
        set_flag.mte1.m 0
        wait_flag.mte1.m 0
        mmad.int8 x0, x0, x0, x4, x4, x6, init
    again:
        mmad.int8 x0, x0, x0, x4, x4, x6
        sub x9, x9, 1
        br.gt x9, 0, again
        set_flag.m.fix 0
        wait_flag.m.fix 0
        mov x3, c
        fix.gm.int32.int32 x3, x0, x4, x4
        end
    """
    tensors = [tensor("a", "int8", (16, 128), "in", 0), tensor("c", "int32", (16, 16), "out", 4096)]
    made = program({"core.cube": text_}, tensors)
    a = np.full((16, 128), -128, np.int8)
    got = Machine(CHIP).run(made, {"a": a}).outputs["c"]
    assert (got == 2**31 - 1).all()


@pytest.mark.parametrize("dtype", ["fp16", "mxfp4", "int8"])
def test_timing_mode_has_the_same_cycles(dtype: str) -> None:
    m, n, k = 20, 24, 64
    rng = np.random.default_rng(1)
    codes: dict[str, Any] = {
        "a": rng.integers(0, 5, (m, k)).astype(np.uint16 if dtype == "fp16" else np.uint8),
        "b": rng.integers(0, 5, (k, n)).astype(np.uint16 if dtype == "fp16" else np.uint8),
        "as": np.full((m, 2), 127, np.uint8), "bs": np.full((2, n), 127, np.uint8),
    }  # fmt: skip
    full = multiply(dtype, m, n, k, codes)
    timing = multiply(dtype, m, n, k, {}, mode="timing")
    assert full.cycles == timing.cycles
    assert full.units == timing.units
    assert not timing.outputs


def test_waits_carry_the_root_cause() -> None:
    """One tile, nothing overlapped: nearly all of the cube's waiting is the memory's fault."""
    codes = {"a": np.zeros((32, 64), np.uint16), "b": np.zeros((64, 48), np.uint16)}
    result = multiply("fp16", 32, 48, 64, codes)
    cube = result.unit("cube.m")
    assert max(cube.waits, key=lambda reason: cube.waits[reason]) == "hbm"
    assert result.unit("cube.fix").waits["hbm"] >= cube.waits["hbm"]
    assert sum(cube.waits.values()) + cube.busy + cube.idle == 2 * result.cycles


def test_bias_accumulate_and_fix_conversion() -> None:
    """init with bias, a second mmad on top, scale, relu and a narrow format with saturation."""
    text_ = """
        mov x1, a
        mov x2, b
        mov x3, c
        mov x4, 16
        mov x5, bias
        mov x7, 4096
        mov x8, 8192
        mov x9, 0.5
        mov x10, 1
        load.l1.b16 x0, x1, x4, rows=x4
        load.l1.b16 x7, x2, x4, rows=x4
        load.l1.b32 x8, x5, x4
        set_flag.mte2.mte1 3
        wait_flag.mte2.mte1 3
        load0.a.b16 x0, x0, x4, x4
        load0.b.b16 x0, x7, x4, x4, transpose
        load0.bias.b32 x0, x8, x10, x4
        set_flag.mte1.m 0
        wait_flag.mte1.m 0
        mmad.fp16 x0, x0, x0, x4, x4, x4, bias=x0, init
        mmad.fp16 x0, x0, x0, x4, x4, x4, unit=set
        fix.gm.fp32.e4m3 x3, x0, x4, x4, scale=x9, relu, sat, unit
        end
    """
    rng = np.random.default_rng(5)
    a = rng.standard_normal((16, 16)).astype(np.float16)
    b = rng.standard_normal((16, 16)).astype(np.float16)
    bias = (rng.standard_normal(16) * 300).astype(np.float32)
    tensors = [
        tensor("a", "fp16", (16, 16), "in", 0), tensor("b", "fp16", (16, 16), "in", 512),
        tensor("bias", "fp32", (16,), "in", 1024), tensor("c", "e4m3", (16, 16), "out", 2048),
    ]  # fmt: skip
    made = program({"core.cube": text_}, tensors)
    codes = {"a": a.view(np.uint16), "b": b.view(np.uint16), "bias": bias.view(np.uint32)}
    got = Machine(CHIP).run(made, codes).outputs["c"]
    product = exact_dot(a.astype(np.float32), b.T.astype(np.float32))
    total = ((bias + product) + product) * np.float32(0.5)
    want = encode(np.where(total <= 0, np.float32(0), total), "e4m3")
    assert np.array_equal(got, want)


def test_row_bytes_of_packed_rows() -> None:
    assert [row_bytes("e2m1", n) for n in (1, 2, 3)] == [1, 1, 2]


@pytest.mark.parametrize("same", [True, False])
def test_l1_banks_are_shared_with_mte2(same):
    """A load into L0 loses what MTE2 writes to its bank meanwhile, and nothing in the other."""
    half = int(CHIP.cube.l1) // 2
    cube = f"""
    mov x1, a
    mov x2, 32
    mov x3, 64
    mov x4, {0 if same else half}
    load.l1.b16 x0, x1, x3, rows=x2
    set_flag.mte2.mte1 0
    load.l1.b16 x4, x1, x3, rows=x3, dst_pitch=x5
    wait_flag.mte2.mte1 0
    load0.a.b16 x0, x0, x2, x3
    end
    """
    cube = cube.replace("x4, 0\n", "x4, 4096\n")  # behind what MTE1 reads
    source = tensor("a", "fp16", (64, 64), "in", 0)
    result = Machine(CHIP).run(program({"core.cube": cube}, [source]), mode="timing")
    mte1 = result.unit("cube.mte1")
    size, bank = 32 * 64 * 2, CHIP.cube.l1_bank
    lost = -(-size * CHIP.dma.gm_l1 // bank**2) if same else 0
    assert mte1.waits.get("l1_bank", 0) == lost
    assert mte1.busy == CHIP.cube.load_overhead + size / CHIP.cube.l1_l0a
