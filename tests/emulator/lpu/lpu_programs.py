"""Small LPU programs by absolute cycle, for tests.

A `Bench` collects instructions as (queue, cycle) and tensors as rows of slices; `feed` and `drain`
compute when a read must issue so that its vector is at a column in a cycle. Nothing checks the
schedule: that is the machine's work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from emulator.lpu.chip import LpuChip, load
from emulator.lpu.machine import HazardError, Machine
from emulator.result import Hazard, Result
from isa.fields import Alu, Imm, Stream
from isa.lpu import LPU
from isa.program import Digit, Layout, Program, Section, Tensor
from isa.table import Instruction

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@cache
def chip_named(name: str = "lpu-tiny", **overrides: str) -> LpuChip:
    """A chip; overrides as ``mem__slices="8"``."""
    return load(name, {k.replace("__", "."): v for k, v in overrides.items()})


def wide(**overrides: str) -> LpuChip:
    """The tiny chip with enough slices to feed three operands and store a result."""
    return chip_named("lpu-tiny", **{"mem__slices": "16", **overrides})


def east(i: int) -> Stream:
    return Stream(i, "e")


def west(i: int) -> Stream:
    return Stream(i, "w")


def planes_of(values: np.ndarray[Any, Any]) -> Bytes:
    """[rows, lanes] of any type to [rows, bytes, lanes] uint8, low byte first."""
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(*values.shape, values.itemsize)
    return np.ascontiguousarray(np.moveaxis(raw, -1, -2))


def values_of(planes: Bytes, dtype: Any) -> np.ndarray[Any, Any]:
    """Inverse of `planes_of`."""
    raw = np.ascontiguousarray(np.moveaxis(planes, -2, -1))
    return np.asarray(raw.view(dtype)[..., 0])


def row_layout(slice_name: str, base: int, rows: int, lanes: int) -> Layout:
    """Row r in word base + r of one slice."""
    return Layout((slice_name,), base, (Digit(0, 1, max(rows, 1), addr=1),), 1, 1, lanes)


class Bench:
    """A program under construction."""

    def __init__(self, chip: LpuChip | None = None) -> None:
        self.chip = chip or chip_named()
        self.queues: dict[str, list[tuple[int, Instruction, tuple[Instruction, ...]]]] = (
            defaultdict(list)
        )
        self.tensors: list[Tensor] = []
        self.inputs: dict[str, Bytes] = {}
        self.expects: dict[tuple[str, int, str], Any] = {}

    # ---- instructions --------------------------------------------------------------------------

    def at(self, queue: str, cycle: int, mnemonic: str, **fields: Any) -> Bench:
        """Issue an instruction in `cycle`; `repeat={...}` gives the repeat after it."""
        repeat = fields.pop("repeat", None)
        after = (LPU.make("repeat", **repeat),) if repeat else ()
        self.queues[queue].append((cycle, LPU.make(mnemonic, **fields), after))
        return self

    def hold(self, instruction: Instruction) -> int:
        """Cycles for which an instruction holds its queue."""
        if instruction.name == "lw":
            wide_type = instruction["type"] in ("fp16", "bf16")
            return -(-int(instruction["rows"]) * (2 if wide_type else 1) // 16)
        if instruction.name == "mm":
            mode = self.chip.mxm.modes.get(str(instruction["type"]))
            return mode.cycles_per_mm if mode else 1
        return 1

    def section(self, queue: str) -> Section:
        words, now = [], 0
        for cycle, instruction, after in sorted(self.queues[queue], key=lambda item: item[0]):
            if cycle < now:
                raise AssertionError(f"{queue}: cycle {cycle} is before {now}")
            if cycle > now:
                words.append(LPU.make("nop", n=cycle - now))
            words += [instruction, *after]
            now = cycle + self.hold(instruction)
            for r in after:
                now += r["n"] * r["d"] + r["n2"] * r["d2"]
            if instruction.name == "sync":
                now = 0  # cycles after a sync are counted from its release
        data = b"".join(LPU.encode(word).to_bytes(16, "little") for word in words)
        return Section(queue, data)

    def word(self, queue: str, nth: int) -> int:
        """Word number of the nth instruction put on a queue (in order of cycle)."""
        section = self.section(queue)
        real = [i for i, w in enumerate(section) if LPU.decode(w).name not in ("nop", "repeat")]
        return real[nth]

    # ---- data ----------------------------------------------------------------------------------

    def memory(self, slice_name: str, base: int, rows: np.ndarray[Any, Any], name: str = "") -> str:
        """Vectors in consecutive words of a slice, as an input tensor."""
        name = name or f"in{len(self.tensors)}"
        rows = np.atleast_2d(rows).astype(np.uint8)
        layout = row_layout(slice_name, base, len(rows), self.chip.lanes)
        self.tensors.append(Tensor(name, "uint8", rows.shape, "in", (layout,)))
        self.inputs[name] = rows
        return name

    def output(self, slice_name: str, base: int, rows: int, name: str = "") -> str:
        """Read consecutive words of a slice back after the run."""
        name = name or f"out{len(self.tensors)}"
        layout = row_layout(slice_name, base, rows, self.chip.lanes)
        shape = (rows, self.chip.lanes)
        self.tensors.append(Tensor(name, "uint8", shape, "out", (layout,)))
        return name

    def hops(self, queue: str, column: int) -> int:
        return abs(self.chip.queue_column(queue) - column)

    def feed(
        self,
        planes: Bytes,
        slices: Sequence[str],
        stream: Stream,
        column: int,
        cycle: int,
        base: int = 0,
        interval: int = 1,
    ) -> None:
        """Row r, plane p of `planes` [rows, planes, lanes] at `column` in cycle + r * interval."""
        rows = len(planes)
        for p, slice_name in enumerate(slices[: planes.shape[1]]):
            queue = f"mem.{slice_name}.read"
            self.memory(slice_name, base, planes[:, p])
            issue = cycle - self.chip.latency["mem.read"] - self.hops(queue, column)
            repeat = {"n": rows - 1, "d": interval, "stride": 1} if rows > 1 else None
            target = Stream(stream.index + p, stream.direction)
            self.at(queue, issue, "read", dst=target, addr=base, repeat=repeat)

    def drain(
        self,
        rows: int,
        slices: Sequence[str],
        stream: Stream,
        column: int,
        cycle: int,
        base: int = 512,
        interval: int = 1,
        name: str = "y",
    ) -> None:
        """Store what `column` drives from `cycle` on: plane p as output ``name.p``."""
        for p, slice_name in enumerate(slices):
            queue = f"mem.{slice_name}.write"
            issue = cycle + self.hops(queue, column)
            repeat = {"n": rows - 1, "d": interval, "stride": 1} if rows > 1 else None
            source = Stream(stream.index + p, stream.direction)
            self.at(queue, issue, "write", a=source, addr=base, repeat=repeat)
            self.output(slice_name, base, rows, f"{name}.{p}")

    # ---- running -------------------------------------------------------------------------------

    def program(self) -> Program:
        sections = tuple(self.section(q) for q in self.queues)
        return Program(
            "lpu", self.chip.name, sections, tuple(self.tensors), expects=dict(self.expects)
        )

    def run(self, **options: Any) -> Result:
        return Machine(self.chip).run(self.program(), self.inputs, **options)

    def values(self, result: Result, dtype: Any, name: str = "y") -> np.ndarray[Any, Any]:
        """The planes of output `name` joined to [rows, lanes]."""
        count = np.dtype(dtype).itemsize
        planes = np.stack([result.outputs[f"{name}.{p}"] for p in range(count)], 1)
        return values_of(planes, dtype)

    def fails(self, kind: str, **options: Any) -> Hazard:
        """Run, expecting an error of one kind; the first one of that kind."""
        with pytest.raises(HazardError) as caught:
            self.run(**options)
        found = [h for h in caught.value.hazards if h.kind == kind]
        assert found, [(h.kind, h.message) for h in caught.value.hazards]
        return found[0]

    def warned(self, kind: str, **options: Any) -> list[Hazard]:
        """Run with hazards="warn" (or as told) and return those of one kind."""
        options.setdefault("hazards", "warn")
        return [h for h in self.run(**options).hazards if h.kind == kind]


def wests(first: int, count: int) -> list[str]:
    return [f"w{i}" for i in range(first, first + count)]


def easts(first: int, count: int) -> list[str]:
    return [f"e{i}" for i in range(first, first + count)]


START = 40  # a cycle by which every slice can have delivered


def vector_op(
    chip: LpuChip,
    mnemonic: str,
    operands: Mapping[str, np.ndarray[Any, Any] | Alu | Imm],
    out: Any,
    *,
    alu: int = 0,
    stride: int = 0,
    **fields: Any,
) -> np.ndarray[Any, Any]:
    """Run one VXM instruction over the rows of its operands; the rows that it drives as `out`.

    Operands a, b, c come from the west on s0, s4, s8; the result leaves eastward on s12.
    """
    bench = Bench(chip)
    column, key = chip.vxm_column, LPU.by_name[mnemonic].timing
    place = {"a": (east(0), wests(0, 4)), "b": (east(4), wests(4, 4)), "c": (east(8), wests(8, 4))}
    rows = next(len(v) for v in operands.values() if isinstance(v, np.ndarray))
    for name, value in operands.items():
        if not isinstance(value, np.ndarray):
            fields[name] = value
            continue
        stream, slices = place[name]
        bench.feed(planes_of(value), slices, stream, column, START)
        fields[name] = stream
    repeat = {"n": rows - 1, "d": 1, "stride": stride} if rows > 1 else None
    bench.at(f"vxm.{alu}", START, mnemonic, dst=east(12), repeat=repeat, **fields)
    size = np.dtype(out).itemsize
    bench.drain(rows, easts(0, size), east(12), column, START + chip.latency[key])
    result = bench.run()
    assert not result.hazards
    return bench.values(result, out)
