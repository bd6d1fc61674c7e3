"""y = sum, maximum or minimum of x: threads, warps, blocks, and then all blocks together.

The order of a float sum, the same on every chip: x is cut into at most 64 parts; in a part, thread
t adds elements t, t + threads, ... in turn to 0; a warp's 32 sums go up a tree of neighbours, so do
the warps' sums; of the parts, p and p + 32 are added, then the 32 go up the same tree.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from programs.draws import normal
from programs.kernel import Array, Arrays, Choice, KernelError, Param, Params
from programs.npu.simt import Operand, Threads, Value
from programs.npu.simt_kernel import (
    OPERAND,
    WARP,
    SimtKernel,
    block_threads,
    meet,
    threads_param,
    up,
)
from programs.npu.tiles import TileProgram

PARTS = 64  # two for every lane of the last warp
LEAST = 4096  # elements worth a part
TOGETHER = 8  # loads of a thread that are under way at once
OPS = ("sum", "max", "min")
START: dict[str, dict[str, Operand]] = {
    "fp32": {"sum": 0.0, "max": -np.inf, "min": np.inf},
    "int32": {"sum": 0, "max": -(1 << 31), "min": (1 << 31) - 1},
}


def parts_of(n: int) -> tuple[int, int]:
    """(parts, elements of each but the last)."""
    size = up(n, min(PARTS, up(n, LEAST)))
    return up(n, size), size


class ReduceKernel(SimtKernel):
    """A part per block and turn, then one warp over what the parts gave."""

    name = "reduce"
    summary = "y = sum, max or min of x; integer sums wrap"
    formats = ("fp32", "int32")
    params: ClassVar[tuple[Param, ...]] = (
        Param("n", 1 << 20, "elements"),
        Choice("op", "sum", "what is done", choices=OPS),
        threads_param(most=1024),
    )
    inputs_doc: ClassVar[dict[str, str]] = {"x": "[n]"}
    outputs_doc: ClassVar[dict[str, str]] = {"y": "[1] fp32, or int32"}
    types: ClassVar[dict[str, str]] = {"x": OPERAND}

    def emit(self, program: TileProgram, dtype: str, params: Params) -> int:
        n, threads = int(params["n"]), block_threads(program.chip, params)
        parts, size = parts_of(n)
        blocks = min(program.chip.vectors, parts)
        x = program.tensor("x", dtype, (n,))
        y = program.tensor("y", dtype, (1,), "out")
        partial = program.tensor("partial", dtype, (parts,), "scratch")
        bases = [tensor.layouts[0].base for tensor in (x, partial, y)]
        reduce_part = self._part(program.simt("part", "x", "to", "first", "stop", threads=threads),
                                 dtype, params["op"])  # fmt: skip
        join = self._join(program.simt("join", "partial", "y", threads=WARP), dtype,
                          params["op"], parts)  # fmt: skip
        core = program.vector
        part, first, stop, to = core.reg(), core.reg(), core.reg(), core.reg()
        with core.loop(part, core.worker, parts, blocks):
            core.scaled(first, part, size)
            core.op("add", stop, first, size)
            core.op("min", stop, stop, n)
            core.scaled(to, part, 4)
            core.op("add", to, to, bases[1])
            core.call(reduce_part, bases[0], to, first, stop)
        if blocks > 1:
            meet(core)
        with core.when("eq", core.worker, 0):
            core.call(join, bases[1], bases[2])
        return blocks

    def _part(self, f: Threads, dtype: str, op: str) -> Threads:
        """partial = the elements first to stop - 1, by all threads of a block."""
        start, warps = START[dtype][op], up(f.threads, WARP)
        i = f.special("tid")
        f.add(i, f["first"], into=i)
        total = f.reg(start)
        with f.scope():  # while there are several left for every thread: their loads together
            last = f.add(i, (TOGETHER - 1) * f.threads)
            with f.loop(lambda: f.compare("lt", last, f["stop"])):
                at = f.shl(i, 2)
                values = [f.load(f["x"], at, 4 * f.threads * k) for k in range(TOGETHER)]
                for value in values:
                    self._fold(f, dtype, op, total, value)
                for index in (i, last):
                    f.add(index, TOGETHER * f.threads, into=index)
        with f.each_from(i, f["stop"], f.threads):
            self._fold(f, dtype, op, total, f.load(f["x"], f.shl(i, 2)))
        f.reduce(op, total, dtype, into=total)
        # Lane 0 of every warp leaves its result in UB, where the first warp finds them all.
        lane, warp = f.special("lane"), f.special("warp")
        own, theirs = f.shl(warp, 2), f.shl(lane, 2)
        with f.only(f.compare("eq", lane, 0)):
            f.store(total, f.ub, own, space="ub")
        f.barrier()
        with f.when(f.compare("eq", warp, 0)):
            f.mov(total, start)
            with f.only(f.compare("lt", lane, warps)):
                f.load(f.ub, theirs, space="ub", into=total)
            f.reduce(op, total, dtype, into=total)
            with f.only(f.compare("eq", lane, 0)):
                f.store(total, f["to"])
        return f

    def _join(self, f: Threads, dtype: str, op: str, parts: int) -> Threads:
        """y = all partial results, by one warp: lane l has parts l and l + 32."""
        lane, total = f.special("lane"), f.reg(START[dtype][op])
        at = f.shl(lane, 2)
        for first in range(0, parts, WARP):
            with f.only(f.compare("lt", lane, parts - first)):
                self._fold(f, dtype, op, total, f.load(f["partial"], at, 4 * first))
        f.reduce(op, total, dtype, into=total)
        with f.only(f.compare("eq", lane, 0)):
            f.store(total, f["y"])
        return f

    def _fold(self, f: Threads, dtype: str, op: str, total: Value, x: Value) -> None:
        f.op({"sum": "tadd", "max": "tmax", "min": "tmin"}[op], total, x, dtype, into=total)

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        if arrays["x"].ndim != 1:
            raise KernelError(f"x is [n], not {arrays['x'].shape}")
        return {"n": len(arrays["x"])}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        """Whole numbers, so that both formats take them."""
        return {"x": np.rint(normal((int(params["n"]),), seed, 0) * np.float32(1000))}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        x, op = arrays["x"], params["op"]
        if op == "sum":
            whole = x.dtype.kind == "i"
            total = x.sum(dtype=np.int64 if whole else np.float64)
            return {"y": np.array([total]).astype(np.int32 if whole else np.float64)}
        return {"y": np.array([x.max() if op == "max" else x.min()])}


KERNEL = ReduceKernel()
