"""Look up 8 rows of a table per position, average them, gate them, add the position's state.

    y[p] = hidden[p] + sigmoid(hidden[p] . gate[p] + 0.125) * mean of table[index[p, 0..7]]

The mapping is the published one. A *chunk* is 32 columns, a lane each; a warp has `chunks` of them
of one position. The dot product adds, in a lane, the chunks in turn, then the lanes in a tree of
neighbours, then the warps of the position so; the mean adds rows 0 to 7 in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from emulator.npu.chip import NpuChip
from programs.draws import normal
from programs.kernel import Array, Arrays, Choice, Encoded, KernelError, Param, Params
from programs.npu.simt import Predicate, Threads, Value
from programs.npu.simt_kernel import OPERAND, WARP, SimtKernel, up, within
from programs.npu.tiles import TileProgram

ROWS = 65536  # of the table
HEADS = 8  # rows per position
BIAS = 0.125  # of the gate
WARPS = 32  # launched at most
WIDE, MANY = 512, 16  # from this dim and batch on: 8 chunks a warp, and 16 warps at most
PATTERNS = ("random", "sequential", "same", "stride")


@dataclass(frozen=True)
class Mapping:
    """Who does what: `across` warps a position with `chunks` each, `warps` launched."""

    dim: int
    batch: int
    chunks: int
    across: int
    warps: int

    @property
    def total(self) -> int:
        """Warps' worth of work."""
        return self.across * self.batch


def mapping(chip: NpuChip, dim: int, batch: int) -> Mapping:
    """As published, where the chip runs 32 warps; warps of a position run at the same time."""
    assert chip.simt is not None
    base, most = up(dim, WARP), min(WARPS, int(chip.simt.threads) // WARP)
    wide = dim >= WIDE and batch >= MANY
    most = min(most, 16) if wide else most
    for chunks in (d for d in range(1, base + 1) if base % d == 0):
        across = base // chunks
        if across <= most and (chunks >= min(8, base) if wide else across * batch <= most):
            break
    warps = min(across * batch, most // across * across)
    return Mapping(dim, batch, chunks, across, warps)


class EngramKernel(SimtKernel):
    """One block on one vector sub-core."""

    name = "engram"
    summary = "y = hidden + sigmoid(hidden . gate + 1/8) * mean of 8 rows of a table"
    params: ClassVar[tuple[Param, ...]] = (
        Param("dim", 128, "elements of a row", most=16384),
        Param("batch", 64, "positions", most=1 << 16),
        Choice("pattern", "random", "rows that the default index names", choices=PATTERNS),
    )
    inputs_doc: ClassVar[dict[str, str]] = {
        "table": "[65536, dim]", "index": "[batch, 8] integers", "hidden": "[batch, dim]",
        "gate": "[batch, dim]",
    }  # fmt: skip
    outputs_doc: ClassVar[dict[str, str]] = {"y": "[batch, dim] fp32"}
    timed_by_values = True
    types: ClassVar[dict[str, str]] = {
        "table": OPERAND, "index": "int32", "hidden": OPERAND, "gate": OPERAND,
    }  # fmt: skip

    def emit(self, program: TileProgram, dtype: str, params: Params) -> int:
        dim, batch = int(params["dim"]), int(params["batch"])
        m = mapping(program.chip, dim, batch)
        shapes = {"table": (ROWS, dim), "index": (batch, HEADS), "hidden": (batch, dim),
                  "gate": (batch, dim), "y": (batch, dim)}  # fmt: skip
        tensors = [
            program.tensor(name, "int32" if name == "index" else "fp32", shape,
                           "out" if name == "y" else "in")
            for name, shape in shapes.items()
        ]  # fmt: skip
        f = program.simt("engram", *shapes, threads=WARP * m.warps)
        warp, lane = f.special("warp"), f.special("lane")
        if m.total > m.warps:
            with f.each_from(warp, m.total, m.warps):
                _Position(f, m, warp, lane).emit()
        else:
            _Position(f, m, warp, lane).emit()
        program.vector.call(f, *(t.layouts[0].base for t in tensors))
        return 1

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        index, hidden = arrays["index"], arrays["hidden"]
        wanted = {"table": (ROWS, *hidden.shape[1:]), "index": (*hidden.shape[:1], HEADS),
                  "gate": hidden.shape}  # fmt: skip
        for name, shape in wanted.items():
            if hidden.ndim != 2 or (name in arrays and arrays[name].shape != shape):
                raise KernelError(
                    f"engram takes hidden [batch, dim], table [{ROWS}, dim], index [batch,"
                    f" {HEADS}], gate [batch, dim]; hidden is {hidden.shape}, {name}"
                    f" {arrays[name].shape}"
                )
        if index.dtype.kind != "i":
            raise KernelError(f"index holds signed integers, not {index.dtype}")
        return {"batch": hidden.shape[0], "dim": hidden.shape[1]}

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        dim, batch, pattern = int(params["dim"]), int(params["batch"]), params["pattern"]
        rng = np.random.Generator(np.random.Philox(key=[seed, 3]))
        heads, one = np.arange(HEADS), np.ones((batch, 1), np.int64)
        index = {
            "random": rng.integers(0, ROWS, (batch, HEADS)),
            "sequential": one * heads,
            "same": rng.integers(0, ROWS, (batch, 1)) * np.ones_like(heads),
            "stride": one * heads * (ROWS // HEADS),
        }[pattern]
        return {
            "table": normal((ROWS, dim), seed, 0), "index": index.astype(np.int32),
            "hidden": normal((batch, dim), seed, 1),
            "gate": normal((batch, dim), seed, 2) / np.float32(np.sqrt(dim)),
        }  # fmt: skip

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        within("index", arrays["index"], ROWS, "rows")
        return super().encode(dtype, params, arrays)

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        hidden = arrays["hidden"].astype(np.float64)
        weight = 1 / (1 + np.exp(-((hidden * arrays["gate"].astype(np.float64)).sum(1) + BIAS)))
        mean = arrays["table"][arrays["index"]].astype(np.float64).mean(1)
        return {"y": hidden + weight[:, None] * mean}


class _Position:
    """What a warp does for its chunks of one position."""

    def __init__(self, f: Threads, m: Mapping, warp: Value, lane: Value) -> None:
        self.f, self.m, self.warp, self.lane = f, m, warp, lane
        # Few chunks: the state stays in registers between the dot product and the sum.
        self.kept: list[Value] = []
        self.keep = m.chunks <= (8 if f.threads <= 512 else 4)

    def emit(self) -> None:
        f, m = self.f, self.m
        if m.across == 1:
            position, column = self.warp, f.mul(self.lane, 4)
        else:
            position, part = self._split(m.across)
            column = f.fma(part, WARP * m.chunks, self.lane)
            f.shl(column, 2, into=column)
        state = f.fma(position, 4 * m.dim, column)
        inside = self._inside(column)
        rows, weight = self._gate(position, state, inside)
        for row in rows:
            f.fma(row, 4 * m.dim, column, into=row)
        for j in range(m.chunks):
            with self._under(j, inside):
                self._chunk(j, rows, state, weight)

    def _split(self, across: int) -> tuple[Value, Value]:
        """The warp's position, and its number there."""
        f = self.f
        if across & (across - 1) == 0:
            position = f.shr(self.warp, across.bit_length() - 1)
            return position, f.op("tand", self.warp, across - 1)
        return f.op("tdiv", self.warp, across), f.op("trem", self.warp, across)

    def _inside(self, column: Value) -> Predicate | None:
        """Lanes that have a column in a position's last chunk; None if all have."""
        if self.m.dim % WARP == 0:
            return None
        last = 4 * WARP * (self.m.chunks - 1)
        return self.f.compare("lt", column, 4 * self.m.dim - last)

    @contextmanager
    def _under(self, j: int, inside: Predicate | None) -> Iterator[None]:
        """A block under the guard that chunk j needs."""
        if inside is None or j < self.m.chunks - 1:
            with self.f.scope():
                yield
        else:
            with self.f.only(inside):
                yield

    def _gate(self, position: Value, state: Value,
              inside: Predicate | None) -> tuple[list[Value], Value]:  # fmt: skip
        """Numbers of the rows, and sigmoid(hidden . gate + bias), in every lane.

        The index is on its way while the dot product waits for its operands.
        """
        f, m = self.f, self.m
        total, rows = f.reg(0.0), [f.reg() for _ in range(HEADS)]
        self.kept = [f.reg() for _ in range(m.chunks)] if self.keep else []
        with f.scope():
            spare = f.reg()
            if self.keep:
                factors = [f.reg() for _ in self.kept]
                for j, (hidden, factor) in enumerate(zip(self.kept, factors, strict=True)):
                    self._load(j, state, hidden, factor, inside)
                self._load_index(position, rows)
                for j, (hidden, factor) in enumerate(zip(self.kept, factors, strict=True)):
                    with self._under(j, inside):
                        f.fma(hidden, factor, total, "fp32", into=total)
            else:
                self._load_index(position, rows)
                for j in range(m.chunks):
                    with f.scope():
                        hidden, factor = f.reg(), f.reg()
                        self._load(j, state, hidden, factor, inside)
                        with self._under(j, inside):
                            f.fma(hidden, factor, total, "fp32", into=total)
            f.reduce("sum", total, "fp32", into=total)
            if m.across > 1:
                self._across(position, total)
            # 1 / (1 + e^-(x + bias))
            f.add(total, BIAS, "fp32", into=total)
            f.put("tneg", total, type="fp32", a=total)
            f.function("texp", total, into=total)
            f.add(total, 1.0, "fp32", into=total)
            f.mov(spare, 1.0)
            f.op("tdiv", spare, total, "fp32", into=total)
        return rows, total

    def _load(self, j: int, state: Value, hidden: Value, factor: Value,
              inside: Predicate | None) -> None:  # fmt: skip
        with self._under(j, inside):
            self.f.load(self.f["hidden"], state, 4 * WARP * j, into=hidden)
            self.f.load(self.f["gate"], state, 4 * WARP * j, into=factor)

    def _across(self, position: Value, total: Value) -> None:
        """The sum over the warps of a position, through UB."""
        f, m = self.f, self.m
        with f.scope():
            with f.only(f.compare("eq", self.lane, 0)):
                f.store(total, f.ub, f.shl(self.warp, 2), space="ub")
            f.barrier()
            at = f.shl(f.fma(position, m.across, self.lane), 2)
            f.mov(total, 0.0)
            with f.only(f.compare("lt", self.lane, m.across)):
                f.load(f.ub, at, space="ub", into=total)
            f.reduce("sum", total, "fp32", into=total)

    def _load_index(self, position: Value, rows: list[Value]) -> None:
        """The same 8 words for all lanes; the last register holds their address meanwhile."""
        at = self.f.shl(position, 5, into=rows[-1])
        for h, row in enumerate(rows):
            self.f.load(self.f["index"], at, 4 * h, into=row)

    def _chunk(self, j: int, rows: list[Value], state: Value, weight: Value) -> None:
        """Average the rows, gate, add the state, store."""
        f = self.f
        offset = 4 * WARP * j
        values = [f.load(f["table"], row, offset) for row in rows]
        hidden = self.kept[j] if self.keep else f.load(f["hidden"], state, offset)
        total = values[0]
        for value in values[1:]:
            f.add(total, value, "fp32", into=total)
        f.mul(total, 1 / HEADS, "fp32", into=total)
        f.fma(total, weight, hidden, "fp32", into=total)
        f.store(total, f["y"], state, offset)


KERNEL = EngramKernel()
