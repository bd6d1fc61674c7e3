"""y[i] = x[index[i]], row by row: a warp moves a row."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from programs.draws import normal
from programs.kernel import Array, Arrays, Encoded, KernelError, Param, Params
from programs.npu.simt_kernel import (
    OPERAND,
    WARP,
    SimtKernel,
    block_count,
    block_threads,
    grid_warp,
    threads_param,
    within,
)
from programs.npu.tiles import TileProgram


class GatherKernel(SimtKernel):
    """All lanes read the row's index, then 4 or 16 bytes each, side by side."""

    name = "gather"
    summary = "y[i] = x[index[i]], rows of cols elements"
    params: ClassVar[tuple[Param, ...]] = (
        Param("rows", 65536, "rows of x"),
        Param("cols", 128, "elements of a row"),
        Param("count", 4096, "rows of y"),
        threads_param(),
    )
    inputs_doc: ClassVar[dict[str, str]] = {"x": "[rows, cols]", "index": "[count] integers"}
    outputs_doc: ClassVar[dict[str, str]] = {"y": "[count, cols] fp32"}
    timed_by_values = True
    types: ClassVar[dict[str, str]] = {"x": OPERAND, "index": "int32"}

    def emit(self, program: TileProgram, dtype: str, params: Params) -> int:
        rows, cols, count = (int(params[p]) for p in ("rows", "cols", "count"))
        threads = block_threads(program.chip, params)
        blocks = block_count(program.chip, count, threads // WARP)
        x = program.tensor("x", "fp32", (rows, cols))
        index = program.tensor("index", "int32", (count,))
        y = program.tensor("y", "fp32", (count, cols), "out")
        f = program.simt("gather", "x", "index", "y", threads=threads)
        # 16 bytes a lane where every row begins at a multiple of them.
        width, each = ("b128", 4) if cols % 4 == 0 else ("b32", 1)
        row, lane = grid_warp(f), f.special("lane")
        with f.each_from(row, count, blocks * threads // WARP):
            source = f.load(f["index"], f.shl(row, 2))
            f.mul(source, 4 * cols, into=source)
            target = f.mul(row, 4 * cols)
            at = f.mul(lane, 4 * each)
            f.add(source, at, into=source)
            f.add(target, at, into=target)
            end = f.add(f.sub(target, at), 4 * cols)
            with f.loop(lambda: f.compare("lt", target, end, "uint32")):
                run = f.row(each)
                f.load(f["x"], source, width=width, into=run[0])
                f.store(run[0], f["y"], target, width=width)
                f.add(source, 4 * each * WARP, into=source)
                f.add(target, 4 * each * WARP, into=target)
        program.vector.call(f, *(t.layouts[0].base for t in (x, index, y)))
        return blocks

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        x, index = arrays["x"], arrays["index"]
        if x.ndim != 2 or index.ndim != 1:
            raise KernelError(f"x is [rows, cols] and index [count], not {x.shape}, {index.shape}")
        if index.dtype.kind != "i":
            raise KernelError(f"index holds signed integers, not {index.dtype}")
        return {"rows": x.shape[0], "cols": x.shape[1], "count": len(index)}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        rows, cols, count = (int(params[p]) for p in ("rows", "cols", "count"))
        rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
        return {"x": normal((rows, cols), seed, 0),
                "index": rng.integers(0, rows, count).astype(np.int32)}  # fmt: skip

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        within("index", arrays["index"], int(params["rows"]), "rows")
        return super().encode(dtype, params, arrays)

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"y": arrays["x"][arrays["index"]].astype(np.float64)}


KERNEL = GatherKernel()
