"""c = a b on the LPU; how is in `programs.lpu.product`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from emulator.lpu.chip import LpuChip
from isa.program import Program
from programs.encoding import accumulator, encode_operand
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Param, Params, normal
from programs.lpu.product import Matmul, first_fit
from programs.lpu.schedule import Schedule
from programs.naive import naive_matmul


class MatmulKernel(Kernel):
    """``matmul``: c [m, n] = a [m, k] b [k, n]; c is the accumulator (fp32, int32)."""

    name = "matmul"
    machine = "lpu"
    summary = "c = a b; m = 1 is the decode case"
    params = (
        Param("m", 640, "rows of a"),
        Param("n", 640, "columns of b"),
        Param("k", 640, "columns of a = rows of b"),
    )
    inputs_doc: ClassVar[dict[str, str]] = {"a": "[m, k]", "b": "[k, n]"}
    outputs_doc: ClassVar[dict[str, str]] = {"c": "[m, n] fp32, or int32 for int8"}

    def dtypes(self, chip: LpuChip) -> tuple[str, ...]:
        return tuple(chip.mxm.modes)

    def default_dtype(self, chip: LpuChip) -> str:
        return "int8"

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        a, b = arrays["a"], arrays["b"]
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
            raise KernelError(f"a is [m, k] and b [k, n], not {a.shape} and {b.shape}")
        return {"m": a.shape[0], "k": a.shape[1], "n": b.shape[1]}

    def build(self, chip: LpuChip, dtype: str, params: Params) -> Program:
        m, n, k = (int(params[p]) for p in ("m", "n", "k"))

        def build(work: Matmul) -> Program:
            tensors_a, a = work.place_activations("a")
            tensors_b, b = work.place_weights("b")
            out, c = work.place_results("c", accumulator(dtype))
            schedule = Schedule(chip, f"matmul {m}x{n}x{k} {dtype}")
            work.product(schedule, a, b, c)
            meta = {"kernel": self.name, "dtype": dtype, "shape": {"m": m, "n": n, "k": k}}
            return schedule.program([*tensors_a, *tensors_b, out], meta)

        return first_fit(chip, dtype, m, n, k, build)

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        m, n, k = (int(params[p]) for p in ("m", "n", "k"))
        return {"a": normal((m, k), seed, 0), "b": normal((k, n), seed, 1)}

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        tensors: dict[str, Any] = {}
        scales: dict[str, float] = {}
        for name, axis in (("a", 1), ("b", 0)):
            operand = encode_operand(name, arrays, dtype, axis)
            tensors[name] = operand.codes
            scales |= operand.scales
            if operand.block_scales is not None:
                tensors[f"{name}.scale"] = operand.block_scales
        return Encoded(tensors, scales)

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        return {"c": outputs["c"].view(np.int32 if dtype == "int8" else np.float32)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"c": arrays["a"].astype(np.float64) @ arrays["b"].astype(np.float64)}

    def naive(self, dtype: str, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"c": naive_matmul(arrays["a"], arrays["b"], dtype)}

    def macs(self, params: Params) -> int:
        return int(params["m"]) * int(params["n"]) * int(params["k"])

    def accuracy_scale(self, dtype: str, encoded: Encoded) -> dict[str, float]:
        return {"c": encoded.scales.get("a", 1.0) * encoded.scales.get("b", 1.0)}


KERNEL = MatmulKernel()
