"""y = A x for a sparse A in compressed rows (CSR): a thread or a warp per row.

Order of a row's sum: a thread adds its products in the order of the row, each rounded once with the
addition; with a warp lane l does so for products l, l + 32, ..., and the 32 sums go up a tree of
neighbours.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from programs.draws import normal
from programs.kernel import Array, Arrays, Choice, Encoded, KernelError, Param, Params
from programs.npu.simt import Threads, Value
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

PER_ROW = 16  # entries, on average, where nothing else is asked for


class SpmvKernel(SimtKernel):
    """``mapping=thread`` reads entries 32 rows apart, ``mapping=warp`` side by side."""

    name = "spmv"
    summary = "y = A x, A sparse in compressed rows"
    params: ClassVar[tuple[Param, ...]] = (
        Param("rows", 16384, "rows of A"),
        Param("cols", 16384, "columns of A"),
        Param("nnz", None, "entries of A; default: 16 per row"),
        Choice("mapping", "warp", "who has a row", choices=("thread", "warp")),
        threads_param(),
    )
    inputs_doc: ClassVar[dict[str, str]] = {
        "value": "[nnz]", "col": "[nnz] integers",
        "start": "[rows + 1] integers: where a row's entries begin", "x": "[cols]",
    }  # fmt: skip
    outputs_doc: ClassVar[dict[str, str]] = {"y": "[rows] fp32"}
    timed_by_values = True
    types: ClassVar[dict[str, str]] = {
        "value": OPERAND, "col": "int32", "start": "int32", "x": OPERAND,
    }  # fmt: skip

    def complete(self, params: dict[str, Any]) -> dict[str, Any]:
        completed = super().complete(params)
        completed.setdefault("nnz", PER_ROW * int(completed["rows"]))
        return completed

    def emit(self, program: TileProgram, dtype: str, params: Params) -> int:
        rows, cols, nnz = (int(params[p]) for p in ("rows", "cols", "nnz"))
        threads, by_warp = block_threads(program.chip, params), params["mapping"] == "warp"
        blocks = block_count(program.chip, rows, threads // WARP if by_warp else threads)
        shapes = {"value": ("fp32", nnz), "col": ("int32", nnz), "start": ("int32", rows + 1),
                  "x": ("fp32", cols), "y": ("fp32", rows)}  # fmt: skip
        tensors = [program.tensor(name, kind, (size,), "out" if name == "y" else "in")
                   for name, (kind, size) in shapes.items()]  # fmt: skip
        f = program.simt("spmv", *shapes, threads=threads)
        if by_warp:
            row, lane = grid_warp(f), f.special("lane")
            with f.each_from(row, rows, blocks * threads // WARP):
                total = self._row(f, row, lane, WARP)
                f.reduce("sum", total, "fp32", into=total)
                with f.only(f.compare("eq", lane, 0)):
                    f.store(total, f["y"], f.shl(row, 2))
        else:
            row = f.thread()
            with f.each_from(row, rows, blocks * threads):
                f.store(self._row(f, row, None, 1), f["y"], f.shl(row, 2))
        program.vector.call(f, *(t.layouts[0].base for t in tensors))
        return blocks

    def _row(self, f: Threads, row: Value, first: Value | None, step: int) -> Value:
        """The sum of a row's products from number `first` on, in steps."""
        at = f.shl(row, 2)
        k, stop = f.load(f["start"], at), f.load(f["start"], at, 4)
        if first is not None:
            f.add(k, first, into=k)
        total = f.reg(0.0)
        with f.each_from(k, stop, step):
            entry = f.shl(k, 2)
            column, value = f.load(f["col"], entry), f.load(f["value"], entry)
            x = f.load(f["x"], f.shl(column, 2))
            f.fma(value, x, total, "fp32", into=total)
        return total

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        value, col, start, x = (arrays[name] for name in self.types)
        if any(a.ndim != 1 for a in (value, col, start, x)) or value.shape != col.shape:
            shapes = ", ".join(f"{name} {arrays[name].shape}" for name in self.types)
            raise KernelError(f"spmv takes value and col [nnz], start [rows + 1], x [cols], not"
                              f" {shapes}")  # fmt: skip
        for name in ("col", "start"):
            if arrays[name].dtype.kind != "i":
                raise KernelError(f"{name} holds signed integers, not {arrays[name].dtype}")
        if len(start) < 2 or not len(value):
            raise KernelError("spmv takes at least one row and one entry")
        return {"rows": len(start) - 1, "cols": len(x), "nnz": len(value)}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        """Entries thrown onto random rows, so that some rows are long and some empty."""
        rows, cols, nnz = (int(params[p]) for p in ("rows", "cols", "nnz"))
        rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
        sizes = np.bincount((rows * rng.random(nnz) ** 2).astype(np.int64), minlength=rows)
        return {
            "value": normal((nnz,), seed, 0), "x": normal((cols,), seed, 1),
            "col": rng.integers(0, cols, nnz).astype(np.int32),
            "start": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
        }  # fmt: skip

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        within("col", arrays["col"], int(params["cols"]), "columns")
        start, nnz = arrays["start"], int(params["nnz"])
        if start[0] != 0 or start[-1] != nnz or _sizes(start).min() < 0:
            raise KernelError(f"start rises from 0 to nnz = {nnz:,}")
        return super().encode(dtype, params, arrays)

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        products = arrays["value"].astype(np.float64) * arrays["x"].astype(np.float64)[
            arrays["col"]]  # fmt: skip
        row = np.repeat(np.arange(int(params["rows"])), _sizes(arrays["start"]))
        return {"y": np.bincount(row, products, minlength=int(params["rows"]))}

    def macs(self, params: Params) -> int:
        return int(params["nnz"])


def _sizes(start: Array) -> Array:
    """Entries of every row."""
    whole = start.astype(np.int64)
    return whole[1:] - whole[:-1]


KERNEL = SpmvKernel()
