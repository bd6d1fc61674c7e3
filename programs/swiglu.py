"""What swiglu is on every machine: y = silu(x w_gate) * (x w_up); each adds its builder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from programs.draws import normal
from programs.encoding import encode_operands
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Param, Params


class SwigluMaths(Kernel):
    """``swiglu``: x [m, k], w_gate and w_up [k, n] -> y [m, n] fp32."""

    name = "swiglu"
    summary = "y = silu(x w_gate) * (x w_up)"
    params = (
        Param("m", 256, "rows of x"),
        Param("n", 1536, "columns of the weights"),
        Param("k", 384, "columns of x"),
    )
    inputs_doc: ClassVar[Mapping[str, str]] = {"x": "[m, k]", "w_gate": "[k, n]", "w_up": "[k, n]"}
    outputs_doc: ClassVar[Mapping[str, str]] = {"y": "[m, n] fp32"}
    operand_axes: ClassVar[Mapping[str, int]] = {"x": 1, "w_gate": 0, "w_up": 0}
    # Tensors with the scales of integer products, and whose they are.
    factors: ClassVar[Mapping[str, str]] = {"gate.scale": "w_gate", "up.scale": "w_up"}

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        x, gate, up = (arrays[name] for name in ("x", "w_gate", "w_up"))
        if x.ndim != 2 or gate.ndim != 2 or gate.shape != up.shape or x.shape[1] != gate.shape[0]:
            raise KernelError(
                f"x is [m, k], w_gate and w_up [k, n], not {x.shape}, {gate.shape}, {up.shape}"
            )
        return {"m": x.shape[0], "k": x.shape[1], "n": gate.shape[1]}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        m, n, k = (params[name] for name in ("m", "n", "k"))
        scale = np.float32(1 / np.sqrt(k))
        return {
            "x": normal((m, k), seed, 0),
            "w_gate": normal((k, n), seed, 1) * scale,
            "w_up": normal((k, n), seed, 2) * scale,
        }

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        tensors, scales = encode_operands(arrays, dtype, self.operand_axes, params.get("scale"))
        if dtype == "int8":
            for name, weights in self.factors.items():
                factor = scales.get("x", 1.0) * scales.get(weights, 1.0)
                tensors[name] = np.array([factor], np.float32)
        return Encoded(tensors, scales)

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        return {"y": outputs["y"].view(np.float32)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        x, gate, up = (np.asarray(arrays[n], np.float64) for n in ("x", "w_gate", "w_up"))
        g = x @ gate
        return {"y": g / (1 + np.exp(-g)) * (x @ up)}

    def macs(self, params: Params) -> int:
        return 2 * int(params["m"]) * int(params["n"]) * int(params["k"])
