"""Runs a kernel over rows and compares it with float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from emulator.result import Result
from programs.encoding import rounded
from programs.registry import kernels

CHIPS = {name: load(f"npu-{name}") for name in ("tiny", "950pr", "950dt", "910b")}
CHIPS["roomy"] = load("npu-tiny", {"l2.capacity": "16 MiB"})


def run(name: str, chip: str, dtype: str, arrays: dict[str, Any]) -> tuple[Any, Result]:
    """What the kernel makes of the arrays."""
    kernel = kernels("npu")[name]
    params = kernel.resolve({}, arrays)
    encoded = kernel.encode(dtype, params, arrays)
    made = kernel.build(CHIPS[chip], dtype, params)
    result = Machine(CHIPS[chip]).run(made, encoded.tensors)
    assert not result.hazards
    (got,) = kernel.decode(dtype, params, result.outputs, encoded).values()
    return got, result


def check(
    name: str, chip: str, dtype: str, rows: int, cols: int, given_: dict[str, Any] | None = None
) -> Result:
    kernel = kernels("npu")[name]
    params = kernel.resolve({"rows": rows, "cols": cols})
    arrays = kernel.inputs(params, 3) | (given_ or {})
    got, result = run(name, chip, dtype, arrays)
    # Rounding the inputs is not the kernel's error.
    arrays = {n: rounded(x, dtype, 1) if x.ndim == 2 else x for n, x in arrays.items()}
    (expected,) = kernel.reference(params, arrays).values()
    assert (np.abs(got - expected) <= 1e-6 * scale(name, arrays, expected)).all()
    return result


def scale(name: str, arrays: dict[str, Any], expected: Any) -> Any:
    """What errors are relative to: layernorm takes differences, which magnify a rounding."""
    x = arrays[next(iter(arrays))].astype(np.float64)
    if name == "softmax":  # exp magnifies it as well
        return np.abs(expected) * (1 + (x.max(1, keepdims=True) - x) / 8)
    if name == "layernorm":
        spread = np.sqrt(x.var(1, keepdims=True) + 1e-5)
        return (1 + np.abs(expected)) * (1 + np.abs(x).max(1, keepdims=True) / spread)
    return 1 + np.abs(expected)


def timed(name: str, **given_: Any) -> Result:
    kernel = kernels("npu")[name]
    chip = CHIPS["950pr"]
    return Machine(chip).run(kernel.build(chip, "fp32", kernel.resolve(given_)), mode="timing")
