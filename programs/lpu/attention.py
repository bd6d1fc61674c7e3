"""o = softmax(q k^T / sqrt(head_dim)) v on the LPU; how is in `programs.lpu.attention_plan`."""

from __future__ import annotations

from typing import ClassVar

from emulator.lpu.chip import LpuChip
from isa.program import Program
from programs.attention import FACTORED, P_SCALE, SHAPE, AttentionMaths, parameters
from programs.kernel import KernelError, Params
from programs.lpu.attention_blocks import BlockAttention
from programs.lpu.attention_plan import LOG2E, Attention, Shape
from programs.lpu.decode import DecodeAttention


class AttentionKernel(AttentionMaths):
    """``attention``: o = softmax(q k^T / sqrt(head_dim)) v, grouped-query heads, causal or not."""

    machine = "lpu"
    params = parameters(320)
    score_factor: ClassVar[float] = LOG2E

    def dtypes(self, chip: LpuChip) -> tuple[str, ...]:
        return tuple(d for d in chip.mxm.modes if d in P_SCALE)

    def default_dtype(self, chip: LpuChip) -> str:
        return "bf16" if "bf16" in chip.mxm.modes else "fp16"

    def scales(self, dtype: str) -> tuple[str, ...]:
        choices = super().scales(dtype)
        return (*choices, "block") if dtype in ("e4m3", "e5m2") else choices

    def build(self, chip: LpuChip, dtype: str, params: Params) -> Program:
        shape = Shape(
            params["batch"] * params["heads"], params["batch"] * params["kv_heads"],
            params["seq"], params["kv"], params["head_dim"], bool(params["causal"]),
        )  # fmt: skip
        scale = params.get("scale")
        kind = DecodeAttention if params["seq"] == 1 else Attention
        if scale == "block":
            if params["seq"] == 1:
                raise KernelError("attention with one query takes no block scales; tensor does")
            kind = BlockAttention
        work = kind(chip, dtype, shape, factored=scale in FACTORED)
        plan = work.schedule()
        meta = {"kernel": self.name, "dtype": dtype, "shape": {n: params[n] for n in SHAPE}}
        return plan.program(work.tensors, meta)


KERNEL = AttentionKernel()
