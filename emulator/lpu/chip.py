"""The LPU's chip file as a validated object, and the geometry that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from emulator.chip import FloatSums, Frequency, IntegerSums, Spec, chip_path, read_tables, validate
from isa.lpu import LPU, MATRIX

Count = Annotated[int, Field(ge=1)]
Cycles = Annotated[int, Field(ge=0)]


class Mem(Spec):
    """SRAM slices."""

    slices: Count  # per hemisphere
    slices_per_column: Count
    words: Count  # vectors per slice
    bank_bit: Annotated[int, Field(ge=0)]  # the address bit that selects the bank


class Vxm(Spec):
    """Vector ALUs."""

    alus: Annotated[int, Field(ge=1, le=64)]
    large_alus: tuple[int, ...]
    large_ops: tuple[str, ...]  # mnemonics that need a large ALU


class Sxm(Spec):
    """Shift and permute units."""

    ops_per_cycle: Count  # per hemisphere


class Mode(Spec):
    """What one number format costs in the matrix unit."""

    planes: Annotated[int, Field(ge=1, le=2)]  # planes that work together
    k: Count  # input lanes of one pass
    n: Count  # output lanes
    cycles_per_mm: Count
    streams: Count  # per activation vector, scales included
    lw_cycles: Count  # for a full plane


class Mxm(Spec):
    """Matrix planes."""

    planes: Count  # both hemispheres together; the western half first
    acc_rows: Count
    accumulate: FloatSums  # how products of floats are added: `emulator.numerics.accumulate`
    accumulate_int: IntegerSums
    modes: Mapping[str, Mode]


class LpuChip(Spec):
    """An LPU. Read one with `load`; see ``docs/chips.md`` for every key with its source."""

    chip_class: Literal["lpu"] = Field(alias="class")
    name: str
    title: str
    clock: Frequency
    lanes: Count
    superlane: Count
    mem: Mem
    vxm: Vxm
    sxm: Sxm
    mxm: Mxm
    latency: Mapping[str, Cycles]
    skew: Mapping[str, Cycles] = {}

    @model_validator(mode="before")
    @classmethod
    def _lists_to_tuples(cls, data: dict[str, object]) -> dict[str, object]:
        vxm = data.get("vxm")
        if isinstance(vxm, dict):
            data = {**data, "vxm": {k: tuple(v) if isinstance(v, list) else v
                                    for k, v in vxm.items()}}  # fmt: skip
        return data

    @model_validator(mode="after")
    def _consistent(self) -> LpuChip:
        wanted = {row.timing for row in LPU.rows if row.timing}
        for table, keys in (("latency", self.latency), ("skew", self.skew)):
            for key in keys:
                if key not in wanted:
                    raise ValueError(f"{table}.{key}: no instruction has this timing key")
        for key in sorted(wanted - set(self.latency)):
            raise ValueError(f"latency.{key}: missing")
        for key in wanted - {"mxm.iw", "mxm.lw", "mxm.lws"}:
            if self.latency[key] < 1:
                raise ValueError(f"latency.{key}: a result takes at least 1 cycle")
            if self.skew.get(key, 0) > self.latency[key]:
                raise ValueError(f"skew.{key}: operands are read after the result is there")
            if key.startswith("vxm.") and self.skew.get(key, 0) == self.latency[key]:
                raise ValueError(f"skew.{key}: an ALU needs a cycle between operands and result")
        if self.lanes % self.superlane or self.superlane != 16:
            raise ValueError("lanes: a whole number of superlanes of 16 lanes")
        if self.lanes > 64 * self.superlane:
            raise ValueError("lanes: at most 64 superlanes")
        if self.mem.slices % self.mem.slices_per_column:
            raise ValueError("mem.slices: a whole number of columns per hemisphere")
        if self.mem.words % (2 << self.mem.bank_bit):
            raise ValueError("mem.words: both banks the same size, so a multiple of 2^(bank_bit+1)")
        if self.mem.words > 1 << 16:
            raise ValueError("mem.words: at most 65,536, the reach of a uint16 map")
        if not all(0 <= a < self.vxm.alus for a in self.vxm.large_alus):
            raise ValueError(f"vxm.large_alus: ALUs are 0 to {self.vxm.alus - 1}")
        for op in self.vxm.large_ops:
            if op not in LPU.by_name or LPU.by_name[op].unit != "vxm":
                raise ValueError(f"vxm.large_ops: the VXM has no instruction '{op}'")
        if self.mxm.planes % 2:
            raise ValueError("mxm.planes: the same number in both hemispheres, so even")
        for name, mode in self.mxm.modes.items():
            if name not in MATRIX:
                raise ValueError(f"mxm.modes.{name}: the table has {', '.join(MATRIX)}")
            if max(mode.k, mode.n) > self.lanes or (self.mxm.planes // 2) % mode.planes:
                raise ValueError(f"mxm.modes.{name}: k and n fit the lanes, planes the hemisphere")
        return self

    # ---- geometry, west to east: MXM, SXM, MEM columns, VXM, MEM columns, SXM, MXM ------------

    @cached_property
    def mem_columns(self) -> int:
        """MEM columns per hemisphere."""
        return self.mem.slices // self.mem.slices_per_column

    @cached_property
    def columns(self) -> int:
        """Stream-register columns from edge to edge."""
        return 2 * self.mem_columns + 5

    @cached_property
    def vxm_column(self) -> int:
        return self.mem_columns + 2

    def mem_column(self, slice_name: str) -> int:
        """Column of a MEM slice; ``w0`` and ``e0`` are the slices next to the VXM."""
        step = 1 + int(slice_name[1:]) // self.mem.slices_per_column
        return self.vxm_column + (step if slice_name[0] == "e" else -step)

    def sxm_column(self, side: str) -> int:
        return 1 if side == "w" else self.columns - 2

    def mxm_column(self, side: str) -> int:
        return 0 if side == "w" else self.columns - 1

    def plane_side(self, plane: int) -> str:
        return "w" if plane < self.mxm.planes // 2 else "e"

    @cached_property
    def slice_names(self) -> tuple[str, ...]:
        """West slices, then east, each numbered outward from the VXM."""
        return tuple(f"{side}{i}" for side in "we" for i in range(self.mem.slices))

    @cached_property
    def queues(self) -> tuple[str, ...]:
        """Every instruction queue; the position is the queue number (ties: the higher wins)."""
        names = []
        for s in self.slice_names:
            names += [f"mem.{s}.read", f"mem.{s}.write"]
        names += [f"vxm.{i}" for i in range(self.vxm.alus)]
        for plane in range(self.mxm.planes):
            names += [f"mxm.{plane}.weights", f"mxm.{plane}.mm"]
        names += [f"sxm.{side}.{i}" for side in "we" for i in range(self.sxm.ops_per_cycle)]
        return tuple(names)

    def queue_column(self, queue: str) -> int:
        """The stream-register column at which a queue's unit reads and drives."""
        kind, *rest = queue.split(".")
        if kind == "mem":
            return self.mem_column(rest[0])
        if kind == "vxm":
            return self.vxm_column
        if kind == "sxm":
            return self.sxm_column(rest[0])
        return self.mxm_column(self.plane_side(int(rest[0])))

    @staticmethod
    def queue_unit(queue: str) -> str:
        """The kind of queue as the table's `unit` column names it: ``mem.read``, ``vxm``..."""
        kind, *rest = queue.split(".")
        return f"{kind}.{rest[1]}" if kind in ("mem", "mxm") else kind

    @property
    def stagger(self) -> int:
        """Cycles from the first tile (superlane) to the last; a run ends this much later."""
        return self.lanes // self.superlane

    @property
    def sram_bytes(self) -> int:
        return 2 * self.mem.slices * self.mem.words * self.lanes

    def bank(self, address: int) -> int:
        return address >> self.mem.bank_bit & 1

    def hops(self, source: int, target: int) -> int:
        return abs(target - source)

    def mode(self, dtype: str) -> Mode:
        """The matrix mode of a format; `ValueError` names those that the chip grants."""
        if dtype not in self.mxm.modes:
            granted = ", ".join(self.mxm.modes)
            raise ValueError(f"{self.name} does not multiply {dtype}; it grants {granted}")
        return self.mxm.modes[dtype]


def load(name: str, overrides: Mapping[str, str] | None = None) -> LpuChip:
    """Load and validate an LPU chip by shipped name or path.

    >>> load("lpu-tsp1").columns
    49
    """
    return validate(LpuChip, read_tables(name, overrides), chip_path(name).name)
