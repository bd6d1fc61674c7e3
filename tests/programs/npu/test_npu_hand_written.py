"""The hand-written SIMT programs do what their first line says, without a single hazard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.npu.chip import load
from emulator.npu.machine import Machine
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


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.s")), ids=lambda path: path.stem)
def test_every_program_says_what_it_shows(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    comments = sum(line.strip().startswith("#") for line in lines)
    assert comments * 5 >= len(lines)
    assert max(map(len, lines)) <= 110
