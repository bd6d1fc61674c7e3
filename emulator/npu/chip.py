"""The NPU's chip file as a validated object.

Sizes are in bytes, rates inside a core in bytes per cycle, latencies in cycles of the one clock;
HBM timings are in seconds, because its clock is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from emulator.chip import (
    Bytes,
    FloatSums,
    Frequency,
    IntegerSums,
    Seconds,
    Spec,
    chip_path,
    read_tables,
    validate,
)
from emulator.npu.memory.spec import HbmSpec, L2Spec
from isa.npu import MMAD_TYPES, NPU, PIPES

Count = Annotated[int, Field(ge=1)]
Cycles = Annotated[int, Field(ge=0)]
BytesPerCycle = Annotated[float, Field(gt=0)]
# Timing keys that have a table of their own instead of a line in [latency].
_TABLES = ("m", "mte1", "mte2", "mte3", "fix", "v")
# Rates between places of one core; a chip without the path leaves the rate out.
PATHS = ("l0c_ub", "ub_l1")


class Cube(Spec):
    """The matrix sub-core: buffers, what a load and an mmad cost."""

    l1: Bytes
    l1_banks: Count
    l0a: Bytes
    l0b: Bytes
    l0c: Bytes
    scale_fraction: Count  # L0A (L0B) / this = its buffer of block scales
    bias: Bytes
    rows: Count  # of A, and columns of B, that the array takes at once
    k0: Mapping[str, Count]  # format -> k per cycle
    chunk: Bytes  # of k that are summed exactly before one rounding
    accumulate: FloatSums  # how products of floats are added: `emulator.numerics.accumulate`
    accumulate_int: IntegerSums
    startup: Cycles  # of an mmad shorter than `startup_hidden_from`
    startup_hidden: Cycles  # of a longer one
    startup_hidden_from: Cycles
    l1_l0a: BytesPerCycle
    l1_l0b: BytesPerCycle
    l1_bank: BytesPerCycle  # of one bank of L1, reads and writes together
    load_overhead: Cycles  # per load0
    scale_overhead: Cycles  # per load0 of block scales
    fix_overhead: Cycles
    l0c_gm: BytesPerCycle
    l0c_l1: BytesPerCycle
    l0c_ub: BytesPerCycle | None = None
    unit: Bytes  # that M hands to FIX under the unit flag


class Dma(Spec):
    """MTE2 and MTE3."""

    overhead: Cycles  # per instruction, before its bytes
    gm_l1: BytesPerCycle
    gm_ub: BytesPerCycle
    ub_gm: BytesPerCycle
    ub_l1: BytesPerCycle | None = None


class Vector(Spec):
    """A vector sub-core: UB and SIMD issue."""

    per_core: Count
    ub: Bytes
    width: Bytes  # of a register, and of what a lane-wise instruction takes per cycle
    bank_groups: Count
    banks_per_group: Count
    interleave: Bytes
    sub_bank: Bytes
    arithmetic: Count  # instructions per cycle
    loads: Count
    stores: Count
    scalars: Count  # scalar instructions of a function
    special: Count  # units for the functions of table [interval]
    window: Annotated[int, Field(ge=1, le=256)]  # instructions among which V finds one to issue


class Simt(Spec):
    """SIMT mode of a vector sub-core."""

    warp: Count
    threads: Count
    schedulers: Count
    line: Bytes
    dcache_least: Bytes
    dcache_most: Bytes
    dcache_ways: Count
    mshrs: Count
    writes: Count  # stores and atomics on their way to L2
    ub_lanes: Count  # lanes of a warp that UB serves per cycle
    stack: Count  # entries of a warp's divergence stack
    hit: Cycles
    launch: Cycles
    barrier: Cycles
    return_rate: BytesPerCycle
    registers: Mapping[str, Count]  # most threads of the launch -> registers per thread

    @model_validator(mode="after")
    def _limits(self) -> Simt:
        """What the emulator is made for."""
        if self.warp != 32:
            raise ValueError("warp: 32 threads")
        if self.line != 128:
            raise ValueError("line: 128 B, an L2 sector")
        for name, most in (("threads", 2048), ("schedulers", 8), ("mshrs", 512), ("writes", 512),
                           ("ub_lanes", 32), ("stack", 1024)):  # fmt: skip
            if getattr(self, name) > most:
                raise ValueError(f"{name}: at most {most}")
        ways = self.dcache_ways * int(self.line)
        if not ways <= self.dcache_least <= self.dcache_most or self.dcache_least % 1024:
            raise ValueError(f"dcache_least: KiB, at least {ways} B (dcache_ways lines), at most"
                             " dcache_most")  # fmt: skip
        sizes = [size for size in self.registers if size.isdecimal()]
        if len(sizes) != len(self.registers) or not 1 <= len(sizes) <= 8:
            raise ValueError("registers: 1 to 8 launch sizes, as numbers of threads")
        if max(map(int, sizes)) < self.threads or max(self.registers.values()) > 127:
            raise ValueError("registers: up to the launch of `threads` threads, 127 at most")
        return self


class NpuChip(Spec):
    """An NPU. Read one with `load`; see ``docs/chips.md`` for every key with its source."""

    chip_class: Literal["npu"] = Field(alias="class")
    name: str
    title: str
    clock: Frequency
    cores: Count
    launch: Seconds
    hbm: HbmSpec
    l2: L2Spec
    cube: Cube
    dma: Dma
    vector: Vector
    simt: Simt | None = None
    queue: Mapping[str, Count]
    latency: Mapping[str, Cycles]
    interval: Mapping[str, Count] = {}

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, data: dict[str, Any]) -> dict[str, Any]:
        """TOML has no null: ``false`` takes away what ``extends`` brought."""
        cleaned = {k: v for k, v in data.items() if v is not False}
        for table in ("cube", "dma"):
            if isinstance(cleaned.get(table), dict):
                cleaned[table] = {k: v for k, v in cleaned[table].items() if v is not False}
        cube = cleaned.get("cube")
        if isinstance(cube, dict) and isinstance(cube.get("k0"), dict):
            granted = {k: v for k, v in cube["k0"].items() if v is not False}
            cleaned["cube"] = {**cube, "k0": granted}
        return cleaned

    @model_validator(mode="after")
    def _consistent(self) -> NpuChip:
        simt = self.simt is not None
        wanted = {r.timing for r in NPU.rows if r.timing not in _TABLES}
        wanted = {key for key in wanted if simt or not key.startswith("simt.")}
        for key in sorted(wanted - set(self.latency)):
            raise ValueError(f"latency.{key}: missing")
        for table, keys in (("latency", self.latency), ("interval", self.interval)):
            for key in keys:
                base = key.rsplit(".", 1)[0] if key.count(".") == 2 else key
                if base not in {r.timing for r in NPU.rows}:
                    raise ValueError(f"{table}.{key}: no instruction has this timing key")
        for pipe in self.queue:
            if pipe not in PIPES or pipe == "scalar":
                raise ValueError(f"queue.{pipe}: pipes are mte1, mte2, mte3, m, fix, v")
        for pipe in sorted(set(PIPES) - {"scalar"} - set(self.queue)):
            raise ValueError(f"queue.{pipe}: missing")
        for name in self.cube.k0:
            if name not in MMAD_TYPES:
                raise ValueError(f"cube.k0.{name}: the table has {', '.join(MMAD_TYPES)}")
        if int(self.cube.chunk) % 32:
            raise ValueError("cube.chunk: a multiple of 32 bytes")
        banks = self.vector.bank_groups * self.vector.banks_per_group
        if int(self.vector.ub) % (banks * int(self.vector.interleave)):
            raise ValueError("vector.ub: the same in every bank")
        return self

    @property
    def vectors(self) -> int:
        """Vector sub-cores of the chip."""
        return self.cores * self.vector.per_core

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Formats that the cube multiplies."""
        return tuple(self.cube.k0)

    def peak_macs(self, dtype: str) -> int:
        """Multiply-adds per cycle of the whole chip."""
        return self.cores * self.cube.rows**2 * self.k0(dtype)

    def k0(self, dtype: str) -> int:
        """k per cycle of a format; `ValueError` names those that the chip grants."""
        if dtype not in self.cube.k0:
            raise ValueError(
                f"{self.name} does not multiply {dtype}; it grants {', '.join(self.cube.k0)}"
            )
        return self.cube.k0[dtype]

    def buffers(self) -> dict[str, int]:
        """Bytes of every local memory by its name in the instruction table."""
        cube = self.cube
        return {
            "ub": int(self.vector.ub), "l1": int(cube.l1), "l0a": int(cube.l0a),
            "l0b": int(cube.l0b), "l0c": int(cube.l0c),
            "l0as": int(cube.l0a) // cube.scale_fraction,
            "l0bs": int(cube.l0b) // cube.scale_fraction, "bias": int(cube.bias),
        }  # fmt: skip


def load(name: str, overrides: Mapping[str, str] | None = None) -> NpuChip:
    """Load and validate an NPU chip by shipped name or path.

    >>> load("npu-950pr").peak_macs("fp16") * 2 * 1.65e9 / 1e12  # TFLOP/s
    432.5376
    """
    return validate(NpuChip, read_tables(name, overrides), chip_path(name).name)
