"""What the kernels over [rows, columns] are on every machine; each machine adds its builders.

Row-wise: softmax, rmsnorm, layernorm. Element-wise: gelu, add. Operands in a float format, the
arithmetic and the result in fp32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from programs.draws import normal
from programs.encoding import encode_operand
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Param, Params

EPSILONS = {"rmsnorm": 1e-6, "layernorm": 1e-5}  # as in the models that use these norms


class RowsMaths(Kernel):
    """A kernel of inputs [rows, cols] with a result of the same shape."""

    params: ClassVar[tuple[Param, ...]] = (
        Param("rows", 256, "rows"),
        Param("cols", 384, "columns"),
    )
    inputs_doc: ClassVar[Mapping[str, str]] = {"x": "[rows, cols]"}
    outputs_doc: ClassVar[Mapping[str, str]] = {"y": "[rows, cols] fp32"}
    operands: ClassVar[tuple[str, ...]] = ("x",)
    operand_axes: ClassVar[Mapping[str, int]] = {"x": 1}
    output: ClassVar[str] = "y"
    per_column: ClassVar[Mapping[str, float]] = {}  # optional inputs [cols] and their default

    def default_dtype(self, chip: Any) -> str:
        return "fp32"

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        x = arrays[self.operands[0]]
        if any(arrays[name].shape != x.shape or x.ndim != 2 for name in self.operands):
            shapes = ", ".join(f"{n} {arrays[n].shape}" for n in self.operands)
            raise KernelError(f"{self.name} takes arrays [rows, cols] of one shape, not {shapes}")
        for name in self.per_column:
            if name in arrays and arrays[name].shape != (x.shape[1],):
                raise KernelError(f"{name} is [cols] = [{x.shape[1]}], not {arrays[name].shape}")
        return {"rows": x.shape[0], "cols": x.shape[1]}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        shape = (params["rows"], params["cols"])
        return {name: normal(shape, seed, i) for i, name in enumerate(self.operands)}

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        tensors: dict[str, Any] = {}
        for name in self.operands:
            tensors[name] = encode_operand(name, arrays, dtype, 1).codes
        for name in self.per_column:
            tensors[name] = np.ascontiguousarray(self.column(name, params, arrays), np.float32)
        return Encoded(tensors)

    def column(self, name: str, params: Params, arrays: Arrays) -> Array:
        """An input [cols], or its default."""
        return arrays.get(name, np.full(params["cols"], self.per_column[name], np.float32))

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        return {self.output: outputs[self.output].view(np.float32)}

    def macs(self, params: Params) -> int:
        return 0


class SoftmaxMaths(RowsMaths):
    """``softmax``"""

    name = "softmax"
    summary = "y = softmax of every row of x"
    distributions = ("y",)

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        x = np.asarray(arrays["x"], np.float64)
        e = np.exp(x - x.max(1, keepdims=True))
        return {"y": e / e.sum(1, keepdims=True)}


class RmsNormMaths(RowsMaths):
    """``rmsnorm``"""

    name = "rmsnorm"
    summary = "y = x / sqrt(mean(x^2) + 1e-6) * gamma, per row"
    inputs_doc: ClassVar[Mapping[str, str]] = {"x": "[rows, cols]", "gamma": "[cols], default 1"}
    per_column: ClassVar[Mapping[str, float]] = {"gamma": 1.0}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        x = np.asarray(arrays["x"], np.float64)
        scale = 1 / np.sqrt((x * x).mean(1, keepdims=True) + EPSILONS["rmsnorm"])
        return {"y": x * scale * self.column("gamma", params, arrays)}


class LayerNormMaths(RowsMaths):
    """``layernorm``"""

    name = "layernorm"
    summary = "y = (x - mean) / sqrt(variance + 1e-5) * gamma + beta, per row"
    inputs_doc: ClassVar[Mapping[str, str]] = {
        "x": "[rows, cols]", "gamma": "[cols], default 1", "beta": "[cols], default 0",
    }  # fmt: skip
    per_column: ClassVar[Mapping[str, float]] = {"gamma": 1.0, "beta": 0.0}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        x = np.asarray(arrays["x"], np.float64)
        off = x - x.mean(1, keepdims=True)
        scaled = off / np.sqrt((off * off).mean(1, keepdims=True) + EPSILONS["layernorm"])
        gamma, beta = (self.column(name, params, arrays) for name in ("gamma", "beta"))
        return {"y": scaled * gamma + beta}


class GeluMaths(RowsMaths):
    """``gelu``, the exact one"""

    name = "gelu"
    summary = "y = x Phi(x), with the error function"

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        x = np.asarray(arrays["x"], np.float64)
        erfc = np.vectorize(math.erfc, otypes=[np.float64])
        return {"y": 0.5 * x * erfc(-x / math.sqrt(2))}


class AddMaths(RowsMaths):
    """``add``"""

    name = "add"
    summary = "c = a + b"
    inputs_doc: ClassVar[Mapping[str, str]] = {"a": "[rows, cols]", "b": "[rows, cols]"}
    outputs_doc: ClassVar[Mapping[str, str]] = {"c": "[rows, cols] fp32"}
    operands: ClassVar[tuple[str, ...]] = ("a", "b")
    operand_axes: ClassVar[Mapping[str, int]] = {"a": 1, "b": 1}
    output: ClassVar[str] = "c"

    def reference(self, params: Params, arrays: Arrays) -> dict[str, NDArray[np.float64]]:
        return {"c": np.asarray(arrays["a"], np.float64) + np.asarray(arrays["b"], np.float64)}
