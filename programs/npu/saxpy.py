"""z = alpha x + y, one thread per element."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from isa.npu_fields import float_bits
from programs.draws import normal
from programs.kernel import Array, Arrays, KernelError, Param, Params, Real
from programs.npu.simt_kernel import (
    OPERAND,
    SimtKernel,
    block_count,
    block_threads,
    threads_param,
)
from programs.npu.tiles import TileProgram


class SaxpyKernel(SimtKernel):
    """Threads go over the elements in steps of the whole grid, so that a warp reads 128 bytes."""

    name = "saxpy"
    summary = "z = alpha x + y, rounded once"
    params: ClassVar[tuple[Param, ...]] = (
        Param("n", 1 << 20, "elements"),
        Real("alpha", 2.5, "the factor, rounded to fp32", least=float("-inf")),
        threads_param(),
    )
    inputs_doc: ClassVar[dict[str, str]] = {"x": "[n]", "y": "[n]"}
    outputs_doc: ClassVar[dict[str, str]] = {"z": "[n] fp32"}
    types: ClassVar[dict[str, str]] = {"x": OPERAND, "y": OPERAND}

    def emit(self, program: TileProgram, dtype: str, params: Params) -> int:
        n, threads = int(params["n"]), block_threads(program.chip, params)
        blocks = block_count(program.chip, n, threads)
        x, y, z = (program.tensor(name, "fp32", (n,), "out" if name == "z" else "in")
                   for name in "xyz")  # fmt: skip
        f = program.simt("saxpy", "x", "y", "z", "alpha", threads=threads)
        i = f.thread()
        with f.each_from(i, n, blocks * threads):
            at = f.shl(i, 2)
            a, b = f.load(f["x"], at), f.load(f["y"], at)
            f.store(f.fma(a, f["alpha"], b, "fp32"), f["z"], at)
        bases = (tensor.layouts[0].base for tensor in (x, y, z))
        program.vector.call(f, *bases, float_bits(float(params["alpha"])))
        return blocks

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        x, y = arrays["x"], arrays["y"]
        if x.ndim != 1 or x.shape != y.shape:
            raise KernelError(f"x and y are [n], not {x.shape} and {y.shape}")
        return {"n": len(x)}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        n = int(params["n"])
        return {"x": normal((n,), seed, 0), "y": normal((n,), seed, 1)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        x, y = (arrays[name].astype(np.float64) for name in "xy")
        return {"z": float(params["alpha"]) * x + y}


KERNEL = SaxpyKernel()
