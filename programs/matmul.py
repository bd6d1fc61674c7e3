"""What matmul is on every machine: c [m, n] = a [m, k] b [k, n]; each machine adds its builder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from programs.draws import normal
from programs.encoding import encode_operands, scale_choices
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Params, Scale
from programs.naive import by_panels, naive_matmul, naive_matmul_of_codes


class MatmulMaths(Kernel):
    """``matmul``; c is the accumulator (fp32, or int32 for int8)."""

    name = "matmul"
    summary = "c = a b; m = 1 is the decode case"
    inputs_doc: ClassVar[Mapping[str, str]] = {"a": "[m, k]", "b": "[k, n]"}
    outputs_doc: ClassVar[Mapping[str, str]] = {"c": "[m, n] fp32, or int32 for int8"}
    operand_axes: ClassVar[Mapping[str, int]] = {"a": 1, "b": 0}

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        a, b = arrays["a"], arrays["b"]
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
            raise KernelError(f"a is [m, k] and b [k, n], not {a.shape} and {b.shape}")
        return {"m": a.shape[0], "k": a.shape[1], "n": b.shape[1]}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        m, n, k = (int(params[p]) for p in ("m", "n", "k"))
        return {"a": normal((m, k), seed, 0), "b": normal((k, n), seed, 1)}

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        scale = params.get("scale")
        return Encoded(*encode_operands(arrays, dtype, self.operand_axes, scale))

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        return {"c": outputs["c"].view(np.int32 if dtype == "int8" else np.float32)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        """In float64, a panel of columns at a time: a second b of that size would cost more."""
        a, b = np.asarray(arrays["a"], np.float64), arrays["b"]
        return {"c": by_panels(a, b.shape[1], lambda panel: b[:, panel].astype(np.float64))}

    def naive(self, dtype: str, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"c": naive_matmul(arrays["a"], arrays["b"], dtype)}

    def naive_of(
        self, dtype: str, params: Params, arrays: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        tensors = encoded.tensors
        scales = (encoded.scales.get(x, tensors.get(f"{x}.scale")) for x in "ab")
        return {"c": naive_matmul_of_codes(tensors["a"], tensors["b"], dtype, *scales)}

    def macs(self, params: Params) -> int:
        return int(params["m"]) * int(params["n"]) * int(params["k"])

    def scales(self, dtype: str) -> tuple[str, ...]:
        return scale_choices(dtype, "channel")

    def accuracy_scale(self, dtype: str, encoded: Encoded) -> dict[str, Scale]:
        return {"c": encoded.scales.get("a", 1.0) * encoded.scales.get("b", 1.0)}
