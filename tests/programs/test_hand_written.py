"""The hand-written programs do what their first line says, without a single hazard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.lpu.chip import load
from emulator.lpu.machine import Machine
from emulator.result import Result
from isa.asm import assemble

FOLDER = Path(__file__).resolve().parents[2] / "programs" / "lpu"
RNG = np.random.default_rng(7)


def run(name: str, defines: dict[str, float] | None = None, **arrays: NDArray[Any]) -> Result:
    """Assemble and run a program of the folder; it may not raise a single hazard or warning."""
    path = FOLDER / f"{name}.s"
    program = assemble(path.read_text(), str(path), load_chip=load, defines=defines)
    result = Machine(load(program.chip)).run(program, arrays)
    assert not result.hazards
    return result


def floats(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def bytes_(*shape: int) -> NDArray[np.int8]:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def test_vector_add() -> None:
    a, b = floats(8, 32), floats(8, 32)
    np.testing.assert_array_equal(run("vector_add", a=a, b=b).outputs["c"], a + b)


@pytest.mark.parametrize("alpha", [None, 0.1])
def test_saxpy(alpha: float | None) -> None:
    x, y = floats(16, 32), floats(16, 32)
    result = run("saxpy", {} if alpha is None else {"ALPHA": alpha}, x=x, y=y)
    expected = np.float32(2.5 if alpha is None else alpha) * x + y
    np.testing.assert_array_equal(result.outputs["z"], expected)


def test_running_max() -> None:
    x = floats(16, 32)
    np.testing.assert_array_equal(run("running_max", x=x).outputs["m"], x.max(axis=0))


def test_row_sum() -> None:
    x = floats(4, 32)
    total = x
    for amount in (16, 8, 4, 2, 1):
        total = total + np.roll(total, amount, axis=1)
    y = run("row_sum", x=x).outputs["y"]
    np.testing.assert_array_equal(y, total)
    np.testing.assert_allclose(y, x.sum(axis=1, dtype=np.float64)[:, None] + 0 * x, atol=1e-5)


def test_transpose() -> None:
    x = bytes_(16, 32)
    blocks = x.reshape(16, 2, 16).transpose(2, 1, 0).reshape(16, 32)
    np.testing.assert_array_equal(run("transpose", x=x).outputs["y"], blocks)


def test_gather() -> None:
    table = RNG.integers(0, 256, (64, 32)).astype(np.uint8)
    index = RNG.integers(0, 64, (8, 2)).astype(np.uint16)
    rows = np.concatenate([table[index[:, 0], :16], table[index[:, 1], 16:]], axis=1)
    result = run("gather", table=table, index=index)
    np.testing.assert_array_equal(result.outputs["y"], rows)


@pytest.mark.parametrize(
    ("name", "m", "k", "n"), [("matmul_small", 8, 32, 8), ("matmul_hidden_load", 16, 64, 4)]
)
def test_matmul(name: str, m: int, k: int, n: int) -> None:
    a, b = bytes_(m, k), bytes_(k, n)
    c = run(name, a=a, b=b).outputs["c"]
    np.testing.assert_array_equal(c, a.astype(np.int32) @ b.astype(np.int32))


def test_softmax() -> None:
    x = floats(16, 32) * 4
    e = np.exp(x.astype(np.float64) - x.max(axis=0))
    y = run("softmax_small", x=x).outputs["y"]
    np.testing.assert_allclose(y, e / e.sum(axis=0), atol=1e-6)


def test_a_wrong_cycle_is_noticed() -> None:
    """What expectations are for: an add one cycle late meets other rows, and the run says so."""
    path = FOLDER / "vector_add.s"
    text = path.read_text()
    late = text.replace("sum: @MEET add", "sum: @MEET + 1 add")
    assert late != text
    program = assemble(late, str(path), load_chip=load)
    result = Machine(load(program.chip)).run(
        program, {"a": floats(8, 32), "b": floats(8, 32)}, hazards="warn"
    )
    assert result.hazards


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.s")), ids=lambda path: path.stem)
def test_every_program_says_what_it_shows(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    comments = sum(line.strip().startswith("#") for line in lines)
    assert comments * 5 >= len(lines)
    assert max(map(len, lines)) <= 110
