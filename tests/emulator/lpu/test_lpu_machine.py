"""Running: modes, reuse, errors at the edge, and the same result every time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from emulator.layout import LayoutError
from emulator.lpu.machine import Machine
from emulator.result import Result
from tests.emulator.lpu.lpu_programs import (
    START,
    Bench,
    chip_named,
    east,
    easts,
    planes_of,
    wests,
    wide,
)

LANES = 32


def doubled(rows: int = 6) -> Bench:
    """y = x + x over some rows."""
    bench = Bench(wide())
    x = np.random.default_rng(0).standard_normal((rows, LANES)).astype(np.float32)
    column = bench.chip.vxm_column
    bench.feed(planes_of(x), wests(0, 4), east(0), column, START)
    bench.at("vxm.0", START, "add", type="fp32", dst=east(4), a=east(0), b=east(0),
             repeat={"n": rows - 1, "d": 1})  # fmt: skip
    bench.drain(rows, easts(0, 4), east(4), column, START + bench.chip.latency["vxm.add"])
    return bench


def same(one: Result, two: Result, outputs: bool = True) -> None:
    """Two results agree in everything."""
    for name in ("cycles", "units", "memory", "bound", "speed_of_light", "instructions", "hazards",
                 "phases"):  # fmt: skip
        assert getattr(one, name) == getattr(two, name), name
    np.testing.assert_array_equal(one.issues, two.issues)
    if outputs:
        assert one.outputs.keys() == two.outputs.keys()
        for name in one.outputs:
            np.testing.assert_array_equal(one.outputs[name], two.outputs[name])


def test_a_prepared_program_serves_many_inputs() -> None:
    bench = doubled()
    machine = Machine(bench.chip)
    loaded = machine.prepare(bench.program())
    for seed in range(3):
        rng = np.random.default_rng(seed)
        shapes = {name: rows.shape for name, rows in bench.inputs.items()}
        inputs = {n: rng.integers(0, 256, s).astype(np.uint8) for n, s in shapes.items()}
        planes = np.stack([inputs[n] for n in bench.inputs], 1)
        x = np.ascontiguousarray(np.moveaxis(planes, 1, 2)).view(np.float32)[..., 0]
        got = bench.values(machine.run(loaded, inputs), np.uint32)
        with np.errstate(all="ignore"):
            wanted = np.where(np.isnan(x), np.uint32(0x7FC00000), (x + x).view(np.uint32))
        np.testing.assert_array_equal(got, wanted)


def test_the_last_program_is_kept() -> None:
    bench = doubled()
    machine, program = Machine(bench.chip), bench.program()
    assert machine.prepare(program) is machine.prepare(program)
    assert machine.prepare(program) is not machine.prepare(bench.program())


def test_runs_repeat_exactly() -> None:
    bench = doubled()
    same(bench.run(), bench.run())


def test_timing_mode_counts_the_same_cycles_without_inputs() -> None:
    bench = doubled()
    machine, program = Machine(bench.chip), bench.program()
    full, timing = machine.run(program, bench.inputs), machine.run(program, mode="timing")
    assert (full.mode, timing.mode, dict(timing.outputs)) == ("full", "timing", {})
    same(full, timing, outputs=False)


def test_timing_mode_finds_the_same_hazards() -> None:
    bench = doubled()
    bench.queues["vxm.0"][0] = (START + 1, *bench.queues["vxm.0"][0][1:])
    full = bench.run(hazards="warn")
    timing = bench.run(hazards="warn", mode="timing")
    assert full.hazards == timing.hazards
    assert any(h.kind == "operand" for h in full.hazards)


def test_timing_mode_with_addresses_from_streams_needs_inputs() -> None:
    bench = Bench(wide())
    column = bench.chip.queue_column("mem.e0.read")
    bench.memory("e0", 0, np.zeros((1, LANES)))
    bench.feed(np.zeros((1, 2, LANES), np.uint8), ["w0", "w1"], east(0), column, 20)
    bench.at("mem.e0.read", 20, "gather", dst=east(4), a=east(0))
    same(bench.run(), bench.run(mode="timing"), outputs=False)
    with pytest.raises(LayoutError, match="missing"):
        Machine(bench.chip).run(bench.program(), mode="timing")


def test_arguments_are_checked() -> None:
    bench = doubled()
    with pytest.raises(ValueError, match="no mode 'fast'; modes: full, timing"):
        bench.run(mode="fast")
    with pytest.raises(ValueError, match="error or warn"):
        bench.run(hazards="ignore")
    with pytest.raises(ValueError, match="no engine 'quantum'"):
        Machine(bench.chip, engine="quantum")
    with pytest.raises(ValueError, match="a program for 'npu'"):
        Machine(bench.chip).run(replace(bench.program(), isa="npu"), bench.inputs)


def test_a_chain_needs_a_latency_beyond_the_skew() -> None:
    chip = chip_named().model_copy(update={"skew": {"vxm.add": 4}})
    with pytest.raises(ValueError, match=r"skew\.vxm\.add"):
        Machine(chip)


def test_more_issues_far_ahead_than_the_ring_holds() -> None:
    """Gaps of thousands of cycles on several queues at once, in the right order."""
    bench = Bench()
    data = np.arange(4 * LANES, dtype=np.uint8).reshape(4, LANES)
    for i, name in enumerate(("w0", "w1")):
        bench.memory(name, 0, data)
        for r, gap in enumerate((5, 7000, 90001, 400000)):
            bench.at(f"mem.{name}.read", gap + 3 * i, "read", dst=east(i), addr=r)
            target = f"mem.e{2 * i}.write"
            hops = bench.hops(f"mem.{name}.read", bench.chip.queue_column(target))
            at = gap + 3 * i + bench.chip.latency["mem.read"] + hops
            bench.at(target, at, "write", a=east(i), addr=r)
        bench.output(f"e{2 * i}", 0, 4, f"y{i}")
    result = bench.run()
    for i in range(2):
        np.testing.assert_array_equal(result.outputs[f"y{i}"], data)
    assert result.cycles > 400000


def test_long_two_level_repeats() -> None:
    bench = Bench()
    bench.memory("w0", 0, np.ones((1, LANES)))
    repeat: dict[str, Any] = {"n": 3, "d": 300, "n2": 2, "d2": 65000}
    bench.at("mem.w0.read", 0, "read", dst=east(0), addr=0, repeat=repeat)
    hops = bench.hops("mem.w0.read", bench.chip.queue_column("mem.e0.write"))
    at = bench.chip.latency["mem.read"] + hops
    bench.at(
        "mem.e0.write", at, "write", a=east(0), addr=0, repeat={**repeat, "stride": 1, "stride2": 4}
    )
    bench.output("e0", 0, 12, "y")
    result = bench.run()
    assert (result.outputs["y"] == 1).all()
    last = at + 2 * 65000 + 3 * 300
    assert result.cycles == 1 + last + bench.chip.latency["mem.write"] + bench.chip.stagger
