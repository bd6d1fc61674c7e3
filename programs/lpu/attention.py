"""o = softmax(q k^T / sqrt(head_dim)) v on the LPU; how is in `programs.lpu.attention_plan`."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from emulator.lpu.chip import LpuChip
from isa.program import Program
from programs.data import minilm
from programs.encoding import encode_operands
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Param, Params, normal
from programs.lpu.attention_plan import LOG2E, P_SCALE, Attention, Shape
from programs.lpu.decode import DecodeAttention
from programs.naive import attention_reference, naive_attention


class AttentionKernel(Kernel):
    """``attention``: o = softmax(q k^T / sqrt(head_dim)) v, grouped-query heads, causal or not."""

    name = "attention"
    machine = "lpu"
    summary = "o = softmax(q k^T / sqrt(head_dim)) v; seq = 1 is decode"
    params = (
        Param("batch", 1, "sequences"),
        Param("heads", 12, "query heads"),
        Param("kv_heads", None, "key heads (default: heads)"),
        Param("seq", 256, "queries"),
        Param("kv", None, "keys (default: seq)"),
        Param("head_dim", 32, "elements of a head", most=320),
        Param("causal", 0, "1: query i sees key j iff j <= i + kv - seq", least=0, most=1),
    )
    inputs_doc: ClassVar[dict[str, str]] = {
        "q": "[batch, heads, seq, head_dim]", "k": "[batch, kv_heads, kv, head_dim]",
        "v": "[batch, kv_heads, kv, head_dim]",
    }  # fmt: skip
    outputs_doc: ClassVar[dict[str, str]] = {"o": "[batch, heads, seq, head_dim] fp32"}
    operand_axes: ClassVar[dict[str, int]] = {"q": -1, "k": -1, "v": -2}

    def dtypes(self, chip: LpuChip) -> tuple[str, ...]:
        return tuple(d for d in chip.mxm.modes if d in P_SCALE)

    def default_dtype(self, chip: LpuChip) -> str:
        return "bf16" if "bf16" in chip.mxm.modes else "fp16"

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
        # Nothing but `causal` given: the packaged real tensors.
        params["real"] = int(set(params) <= {"causal"})
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

    def build(self, chip: LpuChip, dtype: str, params: Params) -> Program:
        shape = Shape(
            params["batch"] * params["heads"], params["batch"] * params["kv_heads"],
            params["seq"], params["kv"], params["head_dim"], bool(params["causal"]),
        )  # fmt: skip
        kind = DecodeAttention if params["seq"] == 1 else Attention
        work = kind(chip, dtype, shape)
        plan = work.schedule()
        names = ("batch", "heads", "kv_heads", "seq", "kv", "head_dim", "causal")
        meta = {"kernel": self.name, "dtype": dtype, "shape": {n: params[n] for n in names}}
        return plan.program(work.tensors, meta)

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        if params.get("real"):
            return minilm()
        b, d = params["batch"], params["head_dim"]
        keys = (b, params["kv_heads"], params["kv"], d)
        return {
            "q": normal((b, params["heads"], params["seq"], d), seed, 0),
            "k": normal(keys, seed, 1),
            "v": normal(keys, seed, 2),
        }

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        codes, scales = encode_operands(arrays, dtype, self.operand_axes)
        tensors = {name: _heads_first(x) for name, x in codes.items()}
        if dtype == "int8":
            score = (
                scales.get("q", 1.0) * scales.get("k", 1.0) * LOG2E / math.sqrt(params["head_dim"])
            )
            tensors["score.scale"] = np.array([score], np.float32)
            tensors["value.scale"] = np.array([scales.get("v", 1.0)], np.float32)
            scales["p"] = 1 / 127
        elif P_SCALE[dtype] != 1.0:
            scales["p"] = 1 / P_SCALE[dtype]
        return Encoded(tensors, scales)

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


def _heads_first(x: Array) -> Array:
    """[batch, heads, rows, columns] or [heads, ...] -> [batch * heads, rows, columns]."""
    return x.reshape(-1, *x.shape[-2:])


KERNEL = AttentionKernel()
