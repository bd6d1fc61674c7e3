"""Random instructions from the table, legal schedule or not: the machine reports and carries on."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.lpu.chip import LpuChip
from emulator.lpu.hazards import HazardError
from emulator.lpu.machine import Machine
from emulator.lpu.prepare import prepare
from isa.fields import (
    Alu,
    EntriesField,
    EnumField,
    Field,
    FieldError,
    FlagField,
    Imm,
    IntField,
    OperandField,
    OptionalStreamField,
    Stream,
)
from isa.lpu import LPU
from isa.program import Program, Section
from isa.table import Instruction, Row
from tests.emulator.lpu.lpu_programs import Bench, chip_named, wide
from tests.emulator.lpu.test_lpu_machine import same

SLICES = ("w0", "w1", "e0", "e3")


def value_for(f: Field, row: Row, rng: random.Random, chip: LpuChip) -> Any:
    """Any value of a field, mostly one that the chip has."""
    if isinstance(f, EnumField):
        return rng.choice([*f.choices])
    if isinstance(f, FlagField):
        return rng.random() < 0.5
    if isinstance(f, EntriesField):
        return tuple(rng.randrange(f.most + 1) for _ in range(f.count))
    if isinstance(f, OptionalStreamField) and rng.random() < 0.5:
        return None
    if isinstance(f, OperandField):
        kind = rng.randrange(3)
        if f.destination:
            return None if kind == 0 else Stream(4 * rng.randrange(8), rng.choice("ew"))
        if kind == 0:
            return Alu(rng.randrange(4))
        if kind == 1:
            return Imm(3)
        return Stream(4 * rng.randrange(8), rng.choice("ew"))
    if isinstance(f, IntField):
        low, high = f.bounds
        most = {"addr": 8, "base": 8, "row": 4, "rows": 32, "lanes": 32, "lane": 31, "amount": 15,
                "n": 6}.get(f.name, 15)  # fmt: skip
        return rng.randint(max(low, -most), min(high, most))
    step = {"1": 1, "2": 2, "4": 4}.get(f.reads or f.writes, 16 if row.unit != "sxm" else 4)
    return Stream(step * rng.randrange(32 // step), rng.choice("ew"))


def instruction(queue: str, rng: random.Random, chip: LpuChip) -> Instruction:
    unit = chip.queue_unit(queue)
    rows = [r for r in LPU.rows if r.unit == unit] * 3 + [LPU.row("nop"), LPU.row("notify")]
    rows += [LPU.row("sync")] if rng.random() < 0.1 else []
    while True:
        row = rng.choice(rows)
        if row.name in chip.vxm.large_ops and int(queue[4:]) not in chip.vxm.large_alus:
            continue
        values = {f.name: value_for(f, row, rng, chip) for f in row.fields if f.role != "hidden"}
        if row.name == "mm":
            values["emit"] = values["dst"] is not None
        if row.name in ("mm", "lw", "lws"):  # the right direction, else nothing would ever run
            west = chip.plane_side(int(queue.split(".")[1])) == "w"
            values["a"] = values["a"]._replace(direction="w" if west else "e")
            if values.get("dst") is not None:
                values["dst"] = values["dst"]._replace(direction="e" if west else "w")
            planes = chip.mxm.modes[values["type"]].planes
            if int(queue.split(".")[1]) % planes:
                continue
            values |= {"rows": 30} if row.name == "lw" and values["rows"] > 32 else {}
        try:
            return LPU.make(row.name, **values)
        except (FieldError, ValueError):
            continue


def program(seed: int, chip: LpuChip, length: int) -> Bench:
    """Random sections on a quarter of the queues; some words of four slices are there."""
    rng = random.Random(seed)
    bench = Bench(chip)
    data = np.random.default_rng(seed).integers(0, 256, (12, chip.lanes)).astype(np.uint8)
    for name in SLICES:
        bench.memory(name, 0, data)
    sections = []
    for queue in chip.queues:
        busy = queue.startswith("mem") and queue.split(".")[1] in SLICES
        if not busy and rng.random() < 0.6:
            continue
        words = []
        for _ in range(rng.randrange(length)):
            words.append(instruction(queue, rng, chip))
            if words[-1].name not in ("nop", "sync", "notify") and rng.random() < 0.4:
                words.append(LPU.make("repeat", n=rng.randrange(5), d=rng.randrange(4, 7),
                                      n2=rng.randrange(2), d2=40))  # fmt: skip
        raw = b"".join(LPU.encode(w).to_bytes(16, "little") for w in words)
        sections.append(Section(queue, raw))
    built = Program("lpu", chip.name, tuple(sections), tuple(bench.tensors))
    bench.program = lambda: built  # type: ignore[method-assign]
    return bench


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(2, 25), real=st.booleans())
def test_random_instructions(seed: int, length: int, real: bool) -> None:
    chip = chip_named("lpu-lp30") if real else wide()
    bench = program(seed, chip, length if not real else 4)
    machine = Machine(chip)
    faults = prepare(bench.program(), chip).faults
    if faults:
        assert all(h.cycle == 0 and h.severity == "error" for h in faults)
        return
    loaded = machine.prepare(bench.program())
    result = machine.run(loaded, bench.inputs, hazards="warn")
    same(result, machine.run(loaded, bench.inputs, hazards="warn"))
    same(result, machine.run(loaded, bench.inputs, mode="timing", hazards="warn"), outputs=False)
    errors = [h for h in result.hazards if h.severity == "error"]
    if not errors:
        return
    with pytest.raises(HazardError) as caught:
        machine.run(loaded, bench.inputs)
    # Stopping at the first bad cycle finds exactly what going on found there.
    first = min(h.cycle for h in errors if h.kind != "deadlock") if any(
        h.kind != "deadlock" for h in errors) else errors[0].cycle  # fmt: skip
    for hazard in caught.value.hazards:
        assert hazard.cycle == first
        assert hazard.message in [h.message for h in errors]
    assert len(caught.value.hazards) <= len([h for h in errors if h.cycle == first])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=16, max_size=16), max_size=6))
def test_random_bytes_decode_or_are_named(words: list[bytes]) -> None:
    section = Section("mem.w0.read", b"".join(words))
    program = Program("lpu", "lpu-tiny", (section,))
    faults = prepare(program, chip_named()).faults
    assert all(h.message and h.where for h in faults)
    if not faults:
        Machine(chip_named()).run(program, hazards="warn")
