"""The hand-written programs do what their first line says, without a single hazard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.npu.chip import load
from emulator.npu.machine import HazardError, Machine
from emulator.numerics import decode, encode, exact_dot, exp, quantize_blocks
from emulator.result import Result
from isa.asm import assemble

FOLDER = Path(__file__).resolve().parents[3] / "programs" / "npu"
RNG = np.random.default_rng(7)


def run(name: str, text: str | None = None, **arrays: NDArray[Any]) -> Result:
    """Assemble and run a program of the folder; it may not raise a single hazard or warning."""
    path = FOLDER / f"{name}.s"
    program = assemble(text or path.read_text(), str(path), load_chip=load)
    result = Machine(load(program.chip)).run(program, arrays)
    assert not result.hazards
    return result


def floats(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def test_vector_add_simt() -> None:
    a, b = floats(1000), floats(1000)
    c = run("vector_add_simt", a=a, b=b).outputs["c"].view(np.float32)
    np.testing.assert_array_equal(c, a + b)


def test_block_sum_simt() -> None:
    """Lanes 16 apart first, then 8, 4, 2, 1; then the warps the same way."""
    x = floats(1000)
    padded = np.concatenate([x, np.zeros(24, np.float32)]).reshape(4, 256)
    total = padded[0] + padded[1] + padded[2] + padded[3]
    warps = np.zeros((1, 32), np.float32)
    warps[0, :8] = folded(total.reshape(8, 32))
    y = run("block_sum_simt", x=x).outputs["y"].view(np.float32)
    assert y[0] == folded(warps)[0]
    np.testing.assert_allclose(y[0], x.sum(dtype=np.float64), atol=1e-4)


def folded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lane 0 after the five shuffles."""
    while rows.shape[1] > 1:
        half = rows.shape[1] // 2
        rows = rows[:, :half] + rows[:, half:]
    return rows[:, 0]


def steps(n: int) -> int:
    count = 0
    while n != 1:
        n, count = (n // 2 if n % 2 == 0 else 3 * n + 1), count + 1
    return count


def test_divergence_simt() -> None:
    y = run("divergence_simt").outputs["y"].view(np.int32)
    assert y.tolist() == [steps(i + 1) for i in range(64)]


def test_histogram_simt() -> None:
    x = RNG.integers(0, 256, 4096).astype(np.uint8)
    count = run("histogram_simt", x=x).outputs["count"].view(np.int32)
    np.testing.assert_array_equal(count, np.bincount(x, minlength=256))


def test_transpose_simt() -> None:
    """Its padding is worth what its comment says."""
    x = floats(32, 32)
    result = run("transpose_simt", x=x)
    np.testing.assert_array_equal(result.outputs["y"].view(np.float32), x.T)
    text = (FOLDER / "transpose_simt.s").read_text()
    tight = text.replace(".equ PITCH, 4 * (SIDE + 1)", ".equ PITCH, 4 * SIDE")
    assert tight != text
    assert run("transpose_simt", tight, x=x).cycles > result.cycles


def test_vector_add_simd() -> None:
    a, b = floats(1000), floats(1000)
    result = run("vector_add_simd", a=a, b=b)
    np.testing.assert_array_equal(result.outputs["c"].view(np.float32), a + b)
    # Without the second slot MTE2 and V take turns.
    text = (FOLDER / "vector_add_simd.s").read_text()
    single = text.replace("xor   x5, x5, 1", "xor   x5, x5, 0")
    assert single != text
    assert run("vector_add_simd", single, a=a, b=b).cycles > result.cycles


def test_a_missing_flag_is_noticed() -> None:
    text = (FOLDER / "vector_add_simd.s").read_text()
    broken = text.replace("    wait_flag.mte2.v x5 ", "    # wait_flag.mte2.v x5 ")
    broken = broken.replace("    set_flag.mte2.v  x5\n", "")
    with pytest.raises(HazardError, match="race in UB"):
        run("vector_add_simd", broken, a=floats(1000), b=floats(1000))


def test_softmax_simd() -> None:
    x = floats(24, 50) * 4
    y = run("softmax_simd", x=x).outputs["y"].view(np.float32)
    e = exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(axis=1, keepdims=True, dtype=np.float64), rtol=3e-7)


def halves(*shape: int) -> NDArray[np.uint16]:
    return encode(floats(*shape), "fp16").astype(np.uint16)


def product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
    """Chunks of 64 are exact; their sums are added in fp32."""
    left, right = (decode(x, "fp16").astype(np.float64) for x in (a, b))
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(0, a.shape[1], 64):
        total = total + exact_dot(left[:, k : k + 64], right[k : k + 64])
    return total


def test_matmul_small() -> None:
    a, b = halves(32, 256), halves(256, 32)
    result = run("matmul_small", a=a, b=b)
    np.testing.assert_array_equal(result.outputs["c"].view(np.float32), product(a, b))
    text = (FOLDER / "matmul_small.s").read_text()
    single = text.replace("xor   x7, x7, 1", "xor   x7, x7, 0")
    assert run("matmul_small", single, a=a, b=b).cycles > result.cycles


def test_cube_to_vector() -> None:
    a, b = halves(32, 64), halves(64, 32)
    s = product(a, b)
    y = run("cube_to_vector", a=a, b=b).outputs["y"].view(np.float32)
    np.testing.assert_array_equal(y, s / (np.abs(s) + np.float32(1)))


def test_quantize_mxfp8() -> None:
    x = floats(16, 64) * np.exp2(RNG.integers(-40, 40, (16, 1))).astype(np.float32)
    outputs = run("quantize_mxfp8", x=x).outputs
    codes, scales = quantize_blocks(x, "mxfp8", 1, "floor")
    np.testing.assert_array_equal(outputs["y"], codes)
    np.testing.assert_array_equal(outputs["scale"], scales)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.s")), ids=lambda path: path.stem)
def test_every_program_says_what_it_shows(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    comments = sum(line.strip().startswith("#") for line in lines)
    assert comments * 5 >= len(lines)
    assert max(map(len, lines)) <= 110
