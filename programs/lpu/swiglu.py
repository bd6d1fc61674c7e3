"""y = silu(x w_gate) * (x w_up): two products over the same rows, then one pass in the VXM.

silu(g) = g / (1 + 2^(-g log2 e)), the quotient as a squared reciprocal root. Products are stored
raw (the gate twice, because it is needed before and after its own sigmoid) and combined tile by
tile while later tiles are still being multiplied.
"""

from __future__ import annotations

from typing import ClassVar

from emulator.lpu.chip import LpuChip
from isa.program import Digit, Layout, Program, Tensor
from programs.encoding import accumulator
from programs.kernel import KernelError, Params
from programs.lpu.product import Matmul, first_fit
from programs.lpu.schedule import Block, Fragment, Schedule, Value
from programs.swiglu import SwigluMaths

LOG2E = 1.4426950408889634


def silu(f: Fragment, gate: Value, again: Value) -> Value:
    """g sigmoid(g) of fp32 values; `again` is the same g, free to arrive later."""
    power = f.vxm("exp2.fp32", f.vxm("mul.fp32", gate, -LOG2E))
    root = f.vxm("rsqrt.fp32", f.vxm("add.fp32", power, 1.0))
    return f.vxm("mul.fp32", f.vxm("mul.fp32", root, root), again)


class SwigluKernel(SwigluMaths):
    """``swiglu``: x [m, k], w_gate and w_up [k, n] -> y [m, n] fp32."""

    machine = "lpu"
    factors: ClassVar[dict[str, str]] = {
        "gate.scale": "w_gate", "gate.scale2": "w_gate", "up.scale": "w_up",
    }  # fmt: skip

    def dtypes(self, chip: LpuChip) -> tuple[str, ...]:
        return tuple(chip.mxm.modes)

    def default_dtype(self, chip: LpuChip) -> str:
        return "bf16" if "bf16" in chip.mxm.modes else "fp16"

    def build(self, chip: LpuChip, dtype: str, params: Params) -> Program:
        m, n, k = (params[name] for name in ("m", "n", "k"))
        label = f"swiglu {m}x{n}x{k} {dtype}"
        schedule, tensors = first_fit(chip, dtype, m, n, k, lambda work: self._plan(work, label))
        meta = {"kernel": self.name, "dtype": dtype, "shape": {"m": m, "n": n, "k": k}}
        return schedule.program(tensors, meta)

    def _plan(self, work: Matmul, label: str) -> tuple[Schedule, list[Tensor]]:
        chip, dtype = work.chip, work.dtype
        if len(work.floor.weights[0]) < 16:
            raise KernelError(
                f"swiglu needs 16 slices a side to read three products at once; {chip.name} has"
                f" {chip.mem.slices}"
            )
        tensors, x = work.place_activations("x")
        gate_tensors, gate = work.place_weights("w_gate")
        up_tensors, up = work.place_weights("w_up")
        raw = accumulator(dtype)
        gates = [work.place_results("gate", raw, quad)[1] for quad in (0, 1)]
        _, ups = work.place_results("up", raw, 2)
        out, y = work.place_results("y", "fp32", 3)
        tensors += [*gate_tensors, *up_tensors, out]
        factors = self._factors(work, tensors) if raw == "int32" else None
        schedule = Schedule(chip, label)
        work.product(schedule, x, gate, *gates)
        work.product(schedule, x, up, ups)
        for plane, i, tile, rows in work.stored_tiles():
            label = f"silu plane {plane} rows tile {i} tile {tile}"
            places = [results.place(i, tile) for results in (*gates, ups, y)]
            key = ("silu", plane, rows, *(results.group(i) for results in (*gates, ups, y)))
            f = schedule.alike(key, label, places)
            if not f.empty:
                schedule.place(f)
                continue
            g, again, u = (r.value(f, plane, i, tile, rows) for r in (*gates, ups))
            if factors is not None:
                g, again, u = (
                    f.vxm(
                        "mul.fp32", f.vxm("cast.int32.fp32", v), self._factor(f, factors[j], rows)
                    )
                    for j, v in enumerate((g, again, u))
                )
            y.store(f, f.vxm("mul.fp32", silu(f, g, again), u), plane, i, tile)
            schedule.place(f)
        return schedule, tensors

    @staticmethod
    def _factor(f: Fragment, block: Block, rows: int) -> Value:
        return f.read(block, 0, rows, step=0)

    @staticmethod
    def _factors(work: Matmul, tensors: list[Tensor]) -> list[Block]:
        """Scales of integer products, the same in all lanes, a quad of slices each."""
        pools = [work.floor.pool[side] for side in "we"]
        free = [pool[-4 * (i + 1) : len(pool) - 4 * i] for pool in pools for i in (0, 1)]
        blocks = []
        for name, slices in zip(("gate.scale", "gate.scale2", "up.scale"), free, strict=False):
            block = work.arena.block(slices, 0, 1, name)
            layout = Layout(block.slices, block.base, (Digit(0, 1, 1),), None)
            tensors.append(Tensor(name, "fp32", (1,), "in", (layout,)))
            blocks.append(block)
        return blocks


KERNEL = SwigluKernel()
