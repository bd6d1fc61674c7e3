"""A chain of 100 loads from UB that one warp adds up: what a load costs, and a bank conflict.

The function counts its cycles itself, from before the first load until the last sum is there, as
the published measurement does; the JSON of a run has them as ``chain_cycles``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from programs.draws import normal
from programs.kernel import Array, Arrays, Choice, Encoded, KernelError, Param, Params
from programs.npu.simt_kernel import OPERAND, WARP, SimtKernel
from programs.npu.tiles import TileProgram

LOADS = 100


class UbLoadKernel(SimtKernel):
    """Each lane loads the same address every time: all lanes one word, each its neighbour's
    neighbour, or 32 words of one sub-bank in 32 rows.
    """

    name = "ub_load"
    summary = "y = x added 100 times, a chain of loads from UB by one warp; counts its own cycles"
    params: ClassVar[tuple[Param, ...]] = (
        Choice("pattern", "broadcast", "where lanes load",
               choices=("broadcast", "conflict_free", "conflict_32")),
    )  # fmt: skip
    inputs_doc: ClassVar[dict[str, str]] = {"x": "[32], its first element alone for broadcast"}
    outputs_doc: ClassVar[dict[str, str]] = {"y": "[32] fp32", "cycles": "[1] of the chain"}
    types: ClassVar[dict[str, str]] = {"x": OPERAND}

    def emit(self, program: TileProgram, dtype: str, params: Params) -> int:
        vector = program.chip.vector
        row = vector.bank_groups * vector.banks_per_group * int(vector.interleave)
        pitch = {"broadcast": 0, "conflict_free": 4, "conflict_32": row}[params["pattern"]]
        if pitch * WARP > int(vector.ub):
            raise KernelError(
                f"ub_load: {pitch * WARP:,} bytes of UB are needed, it has {int(vector.ub):,}"
            )
        x = program.tensor("x", "fp32", (WARP,))
        y = program.tensor("y", "fp32", (WARP,), "out")
        cycles = program.tensor("cycles", "int32", (1,), "out")
        f = program.simt("chain", "x", "y", "cycles", threads=WARP)
        lane = f.special("lane")
        at, word = f.mul(lane, pitch), f.shl(lane, 2)
        f.store(f.load(f["x"], word if pitch else None), f.ub, at, space="ub")
        f.barrier()
        total, value = f.reg(0.0), f.reg()
        began = f.special("cycle")
        for _ in range(LOADS):
            f.load(f.ub, at, space="ub", into=value)
            f.add(total, value, "fp32", into=total)
        f.mov(value, total)  # waits for the last sum
        took = f.special("cycle")
        f.sub(took, began, into=took)
        f.store(total, f["y"], word)
        with f.only(f.compare("eq", lane, 0)):
            f.store(took, f["cycles"])
        program.vector.call(f, *(t.layouts[0].base for t in (x, y, cycles)))
        return 1

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        if arrays["x"].shape != (WARP,):
            raise KernelError(f"x is [{WARP}], not {arrays['x'].shape}")
        return {}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        return {"x": normal((WARP,), seed, 0)}

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        return {"y": outputs["y"].view(np.float32), "cycles": outputs["cycles"].view(np.int32)}

    def measured(self, outputs: Arrays) -> Mapping[str, int]:
        return {"chain_cycles": int(outputs["cycles"][0])}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        x = arrays["x"].astype(np.float64)
        return {"y": LOADS * (np.full(WARP, x[0]) if params["pattern"] == "broadcast" else x)}


KERNEL = UbLoadKernel()
