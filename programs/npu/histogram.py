"""count[v] = how often x holds v, with atomics: in every block's UB first, or in global memory."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from programs.kernel import Array, Arrays, Choice, KernelError, Param, Params
from programs.npu.simt import Threads
from programs.npu.simt_kernel import (
    OPERAND,
    SimtKernel,
    block_count,
    block_threads,
    meet,
    threads_param,
)
from programs.npu.tiles import TileProgram


class HistogramKernel(SimtKernel):
    """``through=ub``: a histogram per block in UB, added to the result at its end, an atomic per
    bin and block. ``through=gm``: an atomic per element, which L2 serialises by sectors.
    """

    name = "histogram"
    summary = "count how often each value 0 to bins - 1 occurs in x; others are left out"
    formats = ("int32",)
    params: ClassVar[tuple[Param, ...]] = (
        Param("n", 1 << 18, "elements"),
        Param("bins", 256, "values counted"),
        Choice("through", "ub", "where threads count", choices=("ub", "gm")),
        threads_param(),
    )
    inputs_doc: ClassVar[dict[str, str]] = {"x": "[n] integers"}
    outputs_doc: ClassVar[dict[str, str]] = {"count": "[bins] int32"}
    timed_by_values = True
    types: ClassVar[dict[str, str]] = {"x": OPERAND}

    def emit(self, program: TileProgram, dtype: str, params: Params) -> int:
        chip, n, bins = program.chip, int(params["n"]), int(params["bins"])
        threads, through = block_threads(chip, params), params["through"]
        assert chip.simt is not None
        room = int(chip.vector.ub) - int(chip.simt.dcache_least)
        if through == "ub" and 4 * bins > room:
            raise KernelError(
                f"histogram: {bins:,} bins need {4 * bins:,} bytes of UB, beside its cache"
                f" {chip.name} has {room:,}; use through=gm"
            )
        blocks = block_count(chip, n, threads)
        x = program.tensor("x", "int32", (n,))
        count = program.tensor("count", "int32", (bins,), "out")
        clear = self._clear(program.simt("clear", "count", threads=threads), bins, blocks)
        f = program.simt("histogram", "x", "count", threads=threads)
        (self._in_ub if through == "ub" else self._in_gm)(f, n, bins, blocks)
        core = program.vector
        core.call(clear, count.layouts[0].base)
        if blocks > 1:
            meet(core)
        core.call(f, x.layouts[0].base, count.layouts[0].base)
        return blocks

    def _clear(self, f: Threads, bins: int, blocks: int) -> Threads:
        """count = 0, by all blocks together."""
        i, zero = f.thread(), f.reg(0)
        with f.each_from(i, bins, blocks * f.threads):
            f.store(zero, f["count"], f.shl(i, 2))
        return f

    def _in_gm(self, f: Threads, n: int, bins: int, blocks: int) -> None:
        self._count(f, n, bins, blocks, "gm")

    def _in_ub(self, f: Threads, n: int, bins: int, blocks: int) -> None:
        with f.scope():
            i, zero = f.special("tid"), f.reg(0)
            with f.each_from(i, bins, f.threads):
                f.store(zero, f.ub, f.shl(i, 2), space="ub")
        f.barrier()
        self._count(f, n, bins, blocks, "ub")
        f.barrier()
        i = f.special("tid")
        with f.each_from(i, bins, f.threads):
            at = f.shl(i, 2)
            counted = f.load(f.ub, at, space="ub")
            with f.only(f.compare("ne", counted, 0)):
                f.atomic("add", counted, f["count"], at)

    def _count(self, f: Threads, n: int, bins: int, blocks: int, space: str) -> None:
        """One more in the bin of every element, where it has one."""
        with f.scope():
            i, one = f.thread(), f.reg(1)
            base = f.ub if space == "ub" else f["count"]
            with f.each_from(i, n, blocks * f.threads):
                value = f.load(f["x"], f.shl(i, 2))
                # Unsigned, a negative value is a large one.
                with f.only(f.compare("lt", value, bins, "uint32")):
                    f.atomic("add", one, base, f.shl(value, 2), space=space)

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        if arrays["x"].ndim != 1:
            raise KernelError(f"x is [n], not {arrays['x'].shape}")
        return {"n": len(arrays["x"])}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        """Mostly the lower bins, as the sum of two dice, and a few values that have none."""
        rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
        bins = int(params["bins"])
        low = rng.integers(0, bins, (2, int(params["n"])), dtype=np.int64).min(0)
        return {"x": np.where(rng.random(len(low)) < 0.01, low - bins, low).astype(np.int32)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        x, bins = np.asarray(arrays["x"]).astype(np.int64), int(params["bins"])
        counted = x[(x >= 0) & (x < bins)]
        return {"count": np.bincount(counted, minlength=bins).astype(np.int32)}


KERNEL = HistogramKernel()
