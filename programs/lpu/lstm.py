"""One step of an int8 LSTM layer: gates from [x, h] W, then the new cell and hidden state.

The layer of Groq's public LSTM example (SDK 0.9), whose cycle counts are published: input and
hidden size are the same, weights and [x, h] are int8, everything after the products is fp32.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from emulator.lpu.chip import LpuChip
from emulator.numerics import quantize_int8
from isa.program import Program
from programs.draws import normal
from programs.kernel import Array, Arrays, Choice, Encoded, Kernel, KernelError, Param, Params
from programs.lpu.lstm_plan import GATES, LstmPlan
from programs.lpu.schedule import ScheduleError

SCHEDULES = ("published", "best")


class LstmKernel(Kernel):
    """i, f, o = sigmoid, g = tanh of [x, h] w + bias; c_out = f c + i g; h_out = o tanh(c_out)."""

    name = "lstm"
    machine = "lpu"
    summary = "one step of an LSTM layer, input size = hidden size"
    params: ClassVar[tuple[Param, ...]] = (
        Param("hidden", 512, "hidden and input size"),
        Param("batch", 1, "rows"),
        Choice("schedule", "published", "scope after scope, or overlapped", choices=SCHEDULES),
    )  # fmt: skip
    inputs_doc: ClassVar[dict[str, str]] = {
        "x": "[batch, hidden]", "h": "[batch, hidden]", "c": "[batch, hidden] fp32",
        "w": "[4, 2 hidden, hidden], gates i, c, o, f; rows of x, then of h",
        "bias": "[4, hidden] fp32",
    }  # fmt: skip
    outputs_doc: ClassVar[dict[str, str]] = {
        "h_out": "[batch, hidden] fp32", "c_out": "[batch, hidden] fp32",
    }  # fmt: skip

    def dtypes(self, chip: LpuChip) -> tuple[str, ...]:
        return ("int8",)

    def default_dtype(self, chip: LpuChip) -> str:
        return "int8"

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        x = arrays["x"]
        batch, hidden = x.shape if x.ndim == 2 else (0, 0)
        wanted = {
            "x": (batch, hidden), "h": (batch, hidden), "c": (batch, hidden),
            "w": (4, 2 * hidden, hidden), "bias": (4, hidden),
        }  # fmt: skip
        for name, array in arrays.items():
            if array.shape != wanted[name]:
                raise KernelError(f"{name} is {self.inputs_doc[name]}, not {array.shape}")
        return {"hidden": hidden, "batch": batch}

    def build(self, chip: LpuChip, dtype: str, params: Params) -> Program:
        hidden, batch = int(params["hidden"]), int(params["batch"])
        meta = {"kernel": self.name, "dtype": dtype, "shape": {"hidden": hidden, "batch": batch}}
        try:
            return LstmPlan(chip, hidden, batch, params["schedule"]).program(meta)
        except ScheduleError as error:
            raise KernelError(f"lstm does not fit {chip.name}: {error}") from None

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        batch, hidden = int(params["batch"]), int(params["hidden"])
        w = normal((4, 2 * hidden, hidden), seed, 3) / np.float32((2 * hidden) ** 0.5)
        return {
            "x": normal((batch, hidden), seed, 0),
            "h": np.clip(normal((batch, hidden), seed, 1), -1, 1),
            "c": normal((batch, hidden), seed, 2),
            "w": w, "bias": normal((4, hidden), seed, 4),
        }  # fmt: skip

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        """[x, h] has one scale, because its products are added; every gate's weights have one."""
        rows, rows_scale, weights = _quantised(arrays)
        tensors: dict[str, Array] = {"xh": rows, "c": _fp32(arrays["c"])}
        scales = {"xh": rows_scale}
        for gate, name in enumerate(GATES):
            codes, scale = weights[gate]
            tensors[f"w_{name}"] = codes
            factor = np.float32(rows_scale * scale)
            tensors[f"scale_{name}"] = np.full(codes.shape[1], factor, np.float32)
            tensors[f"bias_{name}"] = _fp32(arrays["bias"][gate])
            scales[f"w_{name}"] = scale
        return Encoded(tensors, scales)

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        return {name: outputs[name].view(np.float32) for name in self.outputs_doc}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        rows = np.concatenate([arrays["x"], arrays["h"]], 1).astype(np.float64)
        products = rows @ np.asarray(arrays["w"], np.float64)
        return _step(products + arrays["bias"][:, None].astype(np.float64), arrays["c"])

    def naive(self, dtype: str, params: Params, arrays: Arrays) -> dict[str, Array]:
        rows, rows_scale, weights = _quantised(arrays)
        exact = [rows.astype(np.float64) @ codes.astype(np.float64) for codes, _ in weights]
        scaled = [
            (p * np.float32(rows_scale * s)).astype(np.float32)
            for p, (_, s) in zip(exact, weights, strict=True)
        ]
        gates = np.stack(scaled) + _fp32(arrays["bias"])[:, None]
        return _step(gates, _fp32(arrays["c"]))

    def macs(self, params: Params) -> int:
        return 8 * int(params["batch"]) * int(params["hidden"]) ** 2


def _step(gates: NDArray[Any], c: Array) -> dict[str, Array]:
    """The state's update in the precision of `gates` [4, batch, hidden]."""
    i, g, o, f = gates
    one = gates.dtype.type(1)
    i, o, f = (one / (one + np.exp(-v)) for v in (i, o, f))
    new = f * c.astype(gates.dtype) + i * np.tanh(g)
    return {"h_out": o * np.tanh(new), "c_out": new}


def _quantised(arrays: Arrays) -> tuple[Array, float, list[tuple[Array, float]]]:
    """Codes and scale of [x, h], codes and scale of every gate's weights."""
    both = np.concatenate([_codes_or_floats(arrays[name]) for name in ("x", "h")], 1)
    rows, scale = _int8(both)
    return rows, scale, [_int8(_codes_or_floats(w)) for w in arrays["w"]]


def _codes_or_floats(array: Array) -> Array:
    return array if array.dtype == np.int8 else np.asarray(array, np.float32)


def _int8(array: Array) -> tuple[Array, float]:
    if array.dtype == np.int8:
        return array, 1.0
    codes, scale = quantize_int8(array)
    return codes, float(scale)


def _fp32(array: Array) -> NDArray[np.float32]:
    return np.ascontiguousarray(array, np.float32)


KERNEL = LstmKernel()
