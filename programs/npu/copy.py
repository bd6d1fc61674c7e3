"""Tiles of a matrix from global memory into UB, on all vector sub-cores; a test of the memory.

The matrix is read piece by piece (whole rows of tiles), each piece `passes` times in a row, so that
a piece that fits L2 comes from HBM once. Tiles go round over the sub-cores, along the rows first.
A tile is one DMA instruction. Nothing is written back unless asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from emulator.npu.chip import NpuChip
from emulator.numerics import decode
from isa.npu import BITS_OF, Reg
from isa.program import Program, Tensor
from programs.draws import normal
from programs.encoding import CODE_TYPES, encode_operand, rounded
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Param, Params, Real
from programs.npu.buffers import ALIGN, Ring
from programs.npu.tiles import Core, TileProgram

AUTO = "auto"
TILE_ROWS = 64  # of the published workload
DTYPES = ("fp16", "bf16", "fp32", "e4m3", "e5m2", "hif8", "int8")


class OrAuto:
    """The parameter may be left to the builder."""

    def read(self, value: Any) -> Any:
        return AUTO if value == AUTO else super().read(value)  # type: ignore[misc]


class AutoParam(OrAuto, Param):
    """An integer, or ``auto``."""


class AutoReal(OrAuto, Real):
    """A number, or ``auto``."""


@dataclass(frozen=True)
class Walk:
    """Which tiles a sub-core takes: sizes in elements, rows and columns."""

    rows: int
    cols: int
    tile_rows: int
    tile_cols: int
    piece_rows: int
    passes: int
    workers: int
    bits: int

    @property
    def across(self) -> int:
        """Tiles in a row of tiles."""
        return -(-self.cols // self.tile_cols)

    @property
    def width(self) -> int:
        """Columns of a row of tiles, the last tile as wide as the others."""
        return self.across * self.tile_cols

    def bytes(self, elements: int) -> int:
        return elements * self.bits // 8


class CopyKernel(Kernel):
    """``copy``: reads x tile by tile, and writes it to y where asked."""

    name = "copy"
    machine = "npu"
    summary = "x [rows, cols] into UB by all vector sub-cores; with write=1 also y = x"
    params: ClassVar[tuple[Param, ...]] = (
        Param("rows", 12288, "rows of x"),
        Param("cols", 12288, "columns of x"),
        AutoParam("tile_rows", AUTO, "rows of a tile; auto: 64, or as many as fit UB twice"),
        Param("tile_cols", 1024, "columns of a tile"),
        Param("passes", 1, "how often each piece is read"),
        AutoReal("piece_mb", AUTO, "decimal MB of a piece; auto: all of x", least=1e-6),
        Param("write", 0, "1 writes every tile back, to y", least=0, most=1),
    )
    inputs_doc: ClassVar[Mapping[str, str]] = {"x": "[rows, cols]"}
    outputs_doc: ClassVar[Mapping[str, str]] = {"y": "[rows, cols], with write=1"}
    operand_axes: ClassVar[Mapping[str, int]] = {"x": 1}

    def dtypes(self, chip: NpuChip) -> tuple[str, ...]:
        return tuple(d for d in DTYPES if d == "fp32" or d in chip.dtypes)

    def default_dtype(self, chip: NpuChip) -> str:
        return "fp16"

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        x = arrays["x"]
        if x.ndim != 2:
            raise KernelError(f"copy takes x [rows, cols], not {x.shape}")
        return {"rows": x.shape[0], "cols": x.shape[1]}

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        if dtype not in self.dtypes(chip):
            raise KernelError(f"copy on {chip.name} takes {', '.join(self.dtypes(chip))}")
        walk = cut(chip, BITS_OF.get(dtype, 8), params)
        program = TileProgram(chip)
        shape = (walk.rows, walk.cols)
        x = program.tensor("x", dtype, shape)
        y = program.tensor("y", dtype, shape, "out") if params["write"] else None
        Copy(program.vector, walk, x, y).emit()
        piece = min(walk.piece_rows, walk.rows)
        return program.finish(walk.workers, {
            "kernel": self.name, "dtype": dtype, "shape": dict(params),
            "tile": f"{walk.tile_rows}x{walk.tile_cols}", "piece": f"{piece}x{walk.cols}",
        })  # fmt: skip

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        return {"x": normal((params["rows"], params["cols"]), seed, 0)}

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        operand = encode_operand("x", arrays, dtype, 1)
        return Encoded({"x": operand.codes}, operand.scales)

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        if not params["write"]:
            return {}
        y = outputs["y"].view(np.float32 if dtype == "fp32" else CODE_TYPES.get(dtype, np.uint8))
        if dtype == "int8":
            return {"y": y.astype(np.int32)}
        return {"y": y if dtype == "fp32" else decode(y, dtype)}

    def accuracy_scale(self, dtype: str, encoded: Encoded) -> Mapping[str, Any]:
        return {"y": encoded.scales.get("x", 1.0)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"y": np.asarray(arrays["x"], np.float64)} if params["write"] else {}

    def naive(self, dtype: str, params: Params, arrays: Arrays) -> dict[str, Array] | None:
        return {"y": rounded(arrays["x"], dtype, 1)} if params["write"] else None

    def macs(self, params: Params) -> int:
        return 0


def cut(chip: NpuChip, bits: int, params: Params) -> Walk:
    """Tiles and pieces; `KernelError` says how many bytes a tile needs if it is too large."""
    rows, cols = int(params["rows"]), int(params["cols"])
    tile_cols = min(int(params["tile_cols"]), cols)
    ub, line = int(chip.vector.ub), tile_cols * bits // 8
    wanted = params["tile_rows"]
    tile_rows = min(TILE_ROWS, (ub // 2 - ALIGN) // line) if wanted == AUTO else int(wanted)
    if wanted == AUTO and TILE_ROWS * line * 2 == ub:
        tile_rows = TILE_ROWS
    tile_rows = max(min(tile_rows, rows), 1)
    if tile_rows * line > ub:
        raise KernelError(
            f"{chip.name}: a tile of {tile_rows}x{tile_cols} needs {tile_rows * line:,} bytes of"
            f" UB, it has {ub:,}"
        )
    piece = rows
    if params["piece_mb"] != AUTO:
        piece = int(params["piece_mb"] * 1e6 / (cols * bits / 8)) // tile_rows * tile_rows
    piece = max(piece, tile_rows)
    tiles = -(-min(piece, rows) // tile_rows) * -(-cols // tile_cols)
    return Walk(rows, cols, tile_rows, tile_cols, piece, int(params["passes"]),
                min(chip.vectors, tiles), bits)  # fmt: skip


class Copy:
    """Emits the program of a vector sub-core."""

    def __init__(self, core: Core, walk: Walk, x: Tensor, y: Tensor | None) -> None:
        self.core, self.walk, self.x, self.y = core, walk, x, y
        size = -(-walk.bytes(walk.tile_rows * walk.tile_cols) // ALIGN) * ALIGN
        self.depth = 2 if 2 * size <= core.buffers.left("ub") else 1
        self.ring: Ring | None = None
        if y is not None:
            self.ring = core.ring("x", ("mte2", "mte3"), {"x": ("ub", size)}, self.depth)
        else:  # only MTE2 touches it: no flags
            core.buffer("ub", size * self.depth, "x")
            self.slot = core.reg(0)
            self.both = core.reg(size)

    def emit(self) -> None:
        """All pieces, each so many times."""
        core, w = self.core, self.walk
        first_row, first_col = core.reg(), core.reg()
        core.op("div", first_row, core.worker, w.across)
        core.op("rem", first_col, core.worker, w.across)
        core.scaled(first_row, first_row, w.tile_rows)
        core.scaled(first_col, first_col, w.tile_cols)
        self.pitch = core.reg(w.bytes(w.cols))
        self.rows, self.n = core.reg(w.tile_rows), core.reg(w.tile_cols)
        self.row, self.col, self.at, self.end = (core.reg() for _ in range(4))
        piece, turn = core.reg(), core.reg()
        with core.loop(piece, 0, w.rows, w.piece_rows):
            core.op("add", self.end, piece, w.piece_rows)
            core.op("min", self.end, self.end, w.rows)
            with core.loop(turn, 0, w.passes, 1):
                core.op("add", self.row, piece, first_row)
                core.mov(self.col, first_col)
                core.op("mul", self.at, self.row, self.pitch)
                with core.temporary() as off:
                    core.scaled(off, self.col, w.bits // 8)
                    core.op("add", self.at, self.at, off)
                with self._tiles():
                    self._clip()
                    self._move()

    @contextmanager
    def _tiles(self) -> Iterator[None]:
        """Every `workers`-th tile of the piece: `row`, `col`, and `at`, the byte in the matrix."""
        core, w = self.core, self.walk
        down, right = divmod(w.workers, w.across)
        top, out = core.label(), core.label()
        core.bind(top)
        core.branch("ge", self.row, self.end, out)
        yield
        step = down * w.tile_rows * w.bytes(w.cols) + w.bytes(right * w.tile_cols)
        core.op("add", self.at, self.at, step)
        if down:
            core.op("add", self.row, self.row, down * w.tile_rows)
        if right:
            core.op("add", self.col, self.col, right * w.tile_cols)
            with core.when("ge", self.col, w.width):
                core.op("sub", self.col, self.col, w.width)
                core.op("add", self.row, self.row, w.tile_rows)
                back = w.tile_rows * w.bytes(w.cols) - w.bytes(w.width)
                core.op("add", self.at, self.at, back)
        core("jump", target=top)
        core.bind(out)

    def _clip(self) -> None:
        """The sizes of a tile at the edges, where there are smaller ones."""
        core, w = self.core, self.walk
        if w.rows % w.tile_rows:
            core.op("sub", self.rows, self.end, self.row)
            core.op("min", self.rows, self.rows, w.tile_rows)
        if w.cols % w.tile_cols:
            core.mov(self.n, w.cols)
            core.op("sub", self.n, self.n, self.col)
            core.op("min", self.n, self.n, w.tile_cols)

    def _move(self) -> None:
        """One tile in, and out where that is wanted."""
        if self.ring is None:
            self._load(self.slot)
            if self.depth == 2:
                self.core.op("sub", self.slot, self.both, self.slot)
            return
        with self.ring.stage("mte2") as slot:
            self._load(slot["x"])
        with self.ring.stage("mte3") as slot, self._address(self.y) as to:
            self.core("store", space="gm", width=self._width, dst=to, src=slot["x"], n=self.n,
                      rows=self.rows, dst_pitch=self.pitch)  # fmt: skip
        self.ring.advance()

    @property
    def _width(self) -> str:
        return f"b{self.walk.bits}"

    def _load(self, to: Reg) -> None:
        with self._address(self.x) as at:
            self.core("load", space="ub", width=self._width, dst=to, src=at, n=self.n,
                      rows=self.rows, src_pitch=self.pitch)  # fmt: skip

    @contextmanager
    def _address(self, tensor: Tensor | None) -> Iterator[Reg]:
        """The tile's place in a tensor."""
        assert tensor is not None
        base = tensor.layouts[0].base
        if not base:
            yield self.at
            return
        with self.core.temporary() as register:
            yield self.core.op("add", register, self.at, base)


KERNEL = CopyKernel()
