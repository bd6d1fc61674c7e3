"""What attention is on every machine: o = softmax(q k^T / sqrt(head_dim)) v.

Each machine class adds its builder; parameters, inputs, formats, reference and yardstick are here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from programs.data import minilm
from programs.draws import normal
from programs.encoding import encode_operands, scale_choices
from programs.incoherence import rotated, with_outliers
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Param, Params, Scale
from programs.naive import attention_reference, naive_attention

FACTORED = ("tensor", "block")  # scales that scores and values are multiplied with afterwards
SHAPE = ("batch", "heads", "kv_heads", "seq", "kv", "head_dim", "causal")

# What p (0..1) is multiplied with before it is rounded, so that small ones keep their digits (e2m1
# ends at 6). The row sum carries the same factor, so it cancels.
P_SCALE = {
    "int8": 127.0, "e4m3": 256.0, "e5m2": 256.0, "hif8": 256.0, "mxfp8": 256.0, "mxfp4": 6.0,
    "fp16": 1.0, "bf16": 1.0,
}  # fmt: skip
P_FORMAT = {"mxfp8": "e4m3", "mxfp4": "e2m1"}  # where it is not the operands' own; block scales 1


def parameters(head_dim_most: int) -> tuple[Param, ...]:
    """The parameters of ``attention`` on a machine with heads of at most that width."""
    return (
        Param("batch", 1, "sequences"),
        Param("heads", 12, "query heads"),
        Param("kv_heads", None, "key heads (default: heads)"),
        Param("seq", 256, "queries"),
        Param("kv", None, "keys (default: seq)"),
        Param("head_dim", 32, "elements of a head", most=head_dim_most),
        Param("causal", 0, "1: query i sees key j iff j <= i + kv - seq", least=0, most=1),
        Param("incoherent", 0, "1: q and k rotated by random signs and Hadamard", least=0, most=1),
        Param("outliers", 0, "1: default inputs N(0,1), of a thousandth N(0,100)", least=0, most=1),
    )


class AttentionMaths(Kernel):
    """``attention``: grouped-query heads, causal or not; seq = 1 is decode."""

    name = "attention"
    summary = "o = softmax(q k^T / sqrt(head_dim)) v; seq = 1 is decode"
    inputs_doc: ClassVar[Mapping[str, str]] = {
        "q": "[batch, heads, seq, head_dim]", "k": "[batch, kv_heads, kv, head_dim]",
        "v": "[batch, kv_heads, kv, head_dim]",
    }  # fmt: skip
    outputs_doc: ClassVar[Mapping[str, str]] = {"o": "[batch, heads, seq, head_dim] fp32"}
    operand_axes: ClassVar[Mapping[str, int]] = {"q": -1, "k": -1, "v": -2}
    score_factor: ClassVar[float] = 1.0  # log2 e where the machine takes powers of 2

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        q, k, v = (arrays[n] if arrays[n].ndim == 4 else arrays[n][None] for n in "qkv")
        if q.ndim != 4 or k.shape != v.shape or k.ndim != 4 or q.shape[::3] != k.shape[::3]:
            raise KernelError(
                f"q is [batch, heads, seq, head_dim], k and v [batch, kv_heads, kv, head_dim];"
                f" these are {q.shape}, {k.shape}, {v.shape}"
            )
        names = ("batch", "heads", "seq", "head_dim")
        return dict(zip(names, q.shape, strict=True)) | {"kv_heads": k.shape[1], "kv": k.shape[2]}

    def complete(self, params: dict[str, Any]) -> dict[str, Any]:
        # No shape given: the packaged real tensors.
        params["real"] = int(set(params) <= {"causal", "incoherent"})
        params = super().complete(params)
        params.setdefault("kv_heads", params["heads"])
        params.setdefault("kv", params["seq"])
        if params["heads"] % params["kv_heads"]:
            raise KernelError(
                f"heads is a multiple of kv_heads, and {params['heads']} is none of"
                f" {params['kv_heads']}"
            )
        if params["causal"] and params["seq"] > params["kv"]:
            raise KernelError(
                f"causal attention needs seq <= kv, not seq={params['seq']} kv={params['kv']}"
            )
        return params

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        if params.get("real"):
            return minilm()
        b, d = params["batch"], params["head_dim"]
        keys = (b, params["kv_heads"], params["kv"], d)
        shapes = {"q": (b, params["heads"], params["seq"], d), "k": keys, "v": keys}
        make = with_outliers if params.get("outliers") else normal
        return {name: make(shape, seed, i) for i, (name, shape) in enumerate(shapes.items())}

    def scales(self, dtype: str) -> tuple[str, ...]:
        return scale_choices(dtype)

    def prepared(self, params: Params, arrays: Arrays) -> Arrays:
        if not params.get("incoherent"):
            return arrays
        return {**arrays, **{name: rotated(name, arrays[name]) for name in "qk"}}

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        """Heads of the whole batch in one axis; scales of scores and values as tensors."""
        choice = params.get("scale")
        codes, scales = self._quantised(self.prepared(params, arrays), dtype, choice)
        tensors = {name: x.reshape(-1, *x.shape[-2:]) for name, x in codes.items()}
        if dtype == "int8" or choice in FACTORED:
            factor = self.score_factor / math.sqrt(params["head_dim"])
            tensors["value.scale"] = np.array([scales.get("v", 1.0)], np.float32)
            q, k = (scales.get(name, 1.0) for name in "qk")
            if choice == "block":
                for name, scale in (("q", factor * np.asarray(q)), ("k", np.asarray(k))):
                    rows = np.broadcast_to(scale, (*arrays[name].shape[:-1], 1))
                    shape = tensors[name].shape[:2]
                    tensors[f"{name}.factors"] = rows.reshape(shape).astype(np.float32)
            else:
                tensors["score.scale"] = np.array([q * k * factor], np.float32)
        if P_SCALE[dtype] != 1.0:
            scales["p"] = 1 / P_SCALE[dtype]
        return Encoded(tensors, scales)

    def _quantised(
        self, arrays: Arrays, dtype: str, choice: str | None
    ) -> tuple[dict[str, Array], dict[str, Scale]]:
        """Blocks are of rows of q and k; v, whose rows are summed up, has one scale then."""
        if choice != "block":
            return encode_operands(arrays, dtype, self.operand_axes, choice)
        blocks = {name: axis for name, axis in self.operand_axes.items() if name != "v"}
        codes, scales = encode_operands(arrays, dtype, blocks, choice)
        more, last = encode_operands(arrays, dtype, {"v": self.operand_axes["v"]}, "tensor")
        return {**codes, **more}, {**scales, **last}

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        shape = tuple(params[n] for n in ("batch", "heads", "seq", "head_dim"))
        return {"o": outputs["o"].view(np.float32).reshape(shape)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        q, k, v = (_batched(arrays[n]) for n in "qkv")
        return {"o": attention_reference(q, k, v, bool(params["causal"]))}

    def naive(self, dtype: str, params: Params, arrays: Arrays) -> dict[str, Array]:
        q, k, v = (_batched(arrays[n]) for n in "qkv")
        return {"o": naive_attention(q, k, v, dtype, bool(params["causal"]))}

    def macs(self, params: Params) -> int:
        sizes = (params[n] for n in ("batch", "heads", "seq", "kv", "head_dim"))
        return 2 * math.prod(int(s) for s in sizes)


def _batched(x: Array) -> Array:
    return x if x.ndim == 4 else x[None]
