"""Models of accumulation on both machines: the chip's own way by name, whole sums, no tiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import presil
from emulator.numerics import decode64, encode
from emulator.numerics.accumulate import accumulate
from emulator.numerics.operands import operand_values
from programs.encoding import encode_operand
from programs.registry import find
from tools.machines import load_chip, machine

CASES = [
    ("lpu-tiny", "e4m3", 32), ("lpu-tiny", "fp16", 32), ("lpu-tiny", "mxfp4", 32),
    ("lpu-tiny", "int8", 32), ("lpu-lp30", "bf16", 160), ("lpu-lp30", "mxfp8", 320),
    ("npu-tiny", "fp16", 64), ("npu-tiny", "int8", 128), ("npu-tiny", "mxfp4", 256),
    ("npu-tiny", "mxfp8", 128), ("npu-tiny", "hif8", 128),
]  # fmt: skip
MODELS = ["exact", "fp32_seq", "fp32_tree(6)", "trunc_align(32,13)",
          "promote(48,trunc_align(32,13))"]  # fmt: skip
SHAPE = {"m": 5, "n": 7, "k": 300}


def outputs(chip: str, dtype: str, model: str | None, **settings: Any) -> np.ndarray:
    return presil.run("matmul", chip, dtype, accumulate=model, **{**SHAPE, **settings}).outputs["c"]


@pytest.mark.parametrize(("chip", "dtype", "own"), CASES)
def test_the_chips_own_way_by_name(chip: str, dtype: str, own: int) -> None:
    """The engine's compiled sums against the model of the same name and length."""
    if chip == "lpu-tiny":
        own = load_chip(chip).mode(dtype).k
    name = f"int32({own})" if dtype == "int8" else f"exact_chunk({own})"
    assert outputs(chip, dtype, name).tobytes() == outputs(chip, dtype, None).tobytes()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("chip", "dtype"), [("lpu-tiny", "e4m3"), ("lpu-tiny", "mxfp8"), ("npu-tiny", "e4m3"),
                        ("npu-tiny", "mxfp4")],
)  # fmt: skip
def test_a_model_sees_the_whole_of_k(chip: str, dtype: str, model: str) -> None:
    """The machine's result is the model applied to the operands as they were encoded."""
    kernel = find("matmul", load_chip(chip).chip_class)
    arrays = kernel.inputs(kernel.resolve(SHAPE), 0)
    values = []
    for name, axis in (("a", 1), ("b", 0)):
        x = encode_operand(name, arrays, dtype, axis)
        values.append(operand_values(x.codes, dtype, x.block_scales, axis))
    assert outputs(chip, dtype, model).tobytes() == accumulate(*values, model).tobytes()


@pytest.mark.parametrize("model", MODELS)
def test_tiles_and_machines_change_no_bit(model: str) -> None:
    """Passes of 32 or 320, mmads of any size: the same sums of the same codes."""
    results = {
        outputs("lpu-tiny", "e4m3", model).tobytes(),
        outputs("lpu-lp30", "e4m3", model).tobytes(),
        outputs("npu-tiny", "e4m3", model, tile="16x16x128").tobytes(),
        outputs("npu-tiny", "e4m3", model).tobytes(),
    }
    assert len(results) == 1


def test_integers_saturate_or_wrap() -> None:
    k = 140_000  # 127 * 127 * k is beyond 2^31
    a, b = np.full((1, k), 127, np.int8), np.full((k, 1), 127, np.int8)
    for model, expected in (
        (None, 2**31 - 1), ("int32", 2**31 - 1), ("int32_wrap", 127 * 127 * k - 2**32),
    ):  # fmt: skip
        report = presil.run("matmul", "npu-tiny", "int8", a=a, b=b, accumulate=model)
        assert report.outputs["c"].tolist() == [[expected]]


def test_a_chip_file_may_add_another_way() -> None:
    by_option = outputs("npu-tiny", "fp16", "fp32_seq")
    by_chip = presil.run(
        "matmul", "npu-tiny", "fp16", overrides={"cube.accumulate": "fp32_seq"}, **SHAPE
    ).outputs["c"]
    assert by_option.tobytes() == by_chip.tobytes()
    assert by_option.tobytes() != outputs("npu-tiny", "fp16", None).tobytes()


@pytest.mark.parametrize("chip", ["lpu-lp30", "npu-950pr"])
def test_truncation_loses_percents_and_promotion_repairs_it(chip: str) -> None:
    """Positive e4m3 data, K = 4096: up to 7.5 % low by 14 bits; float32 every 128 ends that."""
    rng = np.random.default_rng(0)
    a, b = (
        decode64(encode(np.abs(rng.standard_normal(s)), "e4m3"), "e4m3").astype(np.float32)
        for s in ((4, 4096), (4096, 16))
    )

    def error(model: str) -> np.ndarray:
        got = presil.run("matmul", chip, "e4m3", a=a, b=b, accumulate=model, check=False)
        return got.outputs["c"] / (a.astype(np.float64) @ b) - 1

    low = error("trunc_align(32,13)")
    assert -0.08 < low.min() < -0.06
    assert low.max() < 0
    assert np.abs(error("promote(128,trunc_align(32,13))")).max() < 1e-3
    assert np.abs(error("exact")).max() < 1e-6


@pytest.mark.parametrize(
    ("kernel", "dtype", "model", "part"),
    [
        ("matmul", "int8", "fp32_seq", "products of int8 add up in int32"),
        ("matmul", "fp16", "int32", "products of fp16 add up in fp32"),
        ("matmul", "fp16", "fp32_tree", r"takes \(length\)"),
        ("softmax", "fp32", "exact", "softmax has no matrix products"),
    ],
)
def test_models_that_cannot_be(kernel: str, dtype: str, model: str, part: str) -> None:
    from tools.problem import Problem

    with pytest.raises(Problem, match=part):
        presil.run(kernel, "lpu-tiny", dtype, accumulate=model)


@pytest.mark.parametrize("model", [None, *MODELS])
def test_threads_change_no_bit(model: str | None) -> None:
    chip = load_chip("npu-950pr")
    kernel = find("matmul", "npu")
    params = kernel.resolve({"m": 40, "n": 90, "k": 520, "tile": "16x32x128"})
    program = kernel.build(chip, "bf16", params)
    tensors = kernel.encode("bf16", params, kernel.inputs(params, 3)).tensors
    results = {
        machine(chip)
        .Machine(chip)
        .run(program, tensors, accumulate=model, threads=threads)
        .outputs["c"]
        .tobytes()
        for threads in (1, 2, 3)
    }
    assert len(results) == 1
