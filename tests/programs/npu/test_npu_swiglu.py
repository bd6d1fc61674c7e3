"""swiglu on the NPU: equal to float64 on the rounded inputs, both halves of the core at work."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.npu.chip import NpuChip, load
from emulator.npu.machine import Machine
from programs.encoding import rounded
from programs.kernel import KernelError
from programs.npu.swiglu import KERNEL

PR, TINY = load("npu-950pr"), load("npu-tiny")


def check(chip: NpuChip, dtype: str, m: int, n: int, k: int) -> None:
    params = KERNEL.resolve({"m": m, "n": n, "k": k})
    arrays = KERNEL.inputs(params, 3)
    encoded = KERNEL.encode(dtype, params, arrays)
    program = KERNEL.build(chip, dtype, params)
    result = Machine(chip).run(program, encoded.tensors)
    got = KERNEL.decode(dtype, params, result.outputs, encoded)["y"]
    inputs = {x: rounded(a, dtype, KERNEL.operand_axes[x]) for x, a in arrays.items()}
    expected = KERNEL.reference(params, inputs)["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    for unit in result.units:
        assert unit.busy + sum(unit.waits.values()) + unit.idle == result.cycles * unit.count
    assert Machine(chip).run(program, mode="timing").cycles == result.cycles


@pytest.mark.parametrize("dtype", KERNEL.dtypes(PR))
@pytest.mark.parametrize("shape", [(1, 300, 130), (50, 333, 200)], ids=str)
def test_every_format(dtype: str, shape: tuple[int, int, int]) -> None:
    check(PR, dtype, *shape)


@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 70, 100), (70, 31, 300)], ids=str)
def test_a_tiny_chip(shape: tuple[int, int, int]) -> None:
    check(TINY, "bf16", *shape)


def test_cube_and_vectors_work_at_the_same_time() -> None:
    params = KERNEL.resolve({"m": 2048, "n": 4096, "k": 2048})
    result = Machine(PR).run(KERNEL.build(PR, "bf16", params), mode="timing")
    cube, vector = result.unit("cube.m"), result.unit("vector.v")
    assert cube.busy >= 0.85 * result.cycles * cube.count
    assert vector.busy >= 0.05 * result.cycles * vector.count


def test_a_chip_without_the_path_says_so() -> None:
    with pytest.raises(KernelError, match="npu-910b has no path from L0C to UB"):
        KERNEL.build(load("npu-910b"), "bf16", KERNEL.resolve({}))
