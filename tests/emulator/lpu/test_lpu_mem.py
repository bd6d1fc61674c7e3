"""MEM instructions and the timing contract of streams and SRAM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.emulator.lpu.lpu_programs import (
    Bench,
    chip_named,
    east,
    planes_of,
    west,
    wide,
)

LANES = 32


def rows(n: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (n, LANES)).astype(np.uint8)


def copy(offset: int = 0, direction: str = "e") -> Bench:
    """w0 to e0, or the other way; the write `offset` cycles from when the value is there."""
    bench = Bench()
    source, target = ("w0", "e0") if direction == "e" else ("e0", "w0")
    stream = east(3) if direction == "e" else west(3)
    bench.memory(source, 0, rows(4), "x")
    bench.at(
        f"mem.{source}.read", 10, "read", dst=stream, addr=0, repeat={"n": 3, "d": 1, "stride": 1}
    )
    there = 10 + bench.chip.latency["mem.read"] + bench.hops(
        f"mem.{source}.read", bench.chip.queue_column(f"mem.{target}.write"))  # fmt: skip
    bench.at(f"mem.{target}.write", there + offset, "write", a=stream, addr=9,
             repeat={"n": 3, "d": 1, "stride": 1})  # fmt: skip
    bench.output(target, 9, 4, "y")
    return bench


@pytest.mark.parametrize("direction", ["e", "w"])
def test_value_arrives_one_column_per_cycle(direction: str) -> None:
    result = copy(direction=direction).run()
    np.testing.assert_array_equal(result.outputs["y"], rows(4))
    assert not result.hazards


@pytest.mark.parametrize("direction", ["e", "w"])
@pytest.mark.parametrize("offset", [-1, 1])
def test_a_cycle_early_or_late_is_no_value(direction: str, offset: int) -> None:
    assert copy(offset, direction).fails("operand").column is not None


def test_cycles_end_with_the_last_landing() -> None:
    bench = copy()
    last_write = bench.queues["mem.e0.write"][0][0] + 3
    assert bench.run().cycles == 1 + last_write + bench.chip.latency["mem.write"] + 2


def test_first_reader_is_the_next_column() -> None:
    """A reader in the producer's own column sees what arrives, not what is driven."""
    bench = Bench()
    chip = bench.chip
    d, column = chip.latency["mem.read"], chip.queue_column("mem.w0.read")
    assert column == chip.queue_column("mem.w1.read")  # two slices share a column
    data = rows(2)
    bench.memory("w2", 0, data[:1])  # one column to the west
    bench.memory("w0", 0, data[1:])
    bench.at("mem.w2.read", 10, "read", dst=east(0), addr=0)
    bench.at("mem.w0.read", 11, "read", dst=east(0), addr=0)  # drives where w2's value is now
    bench.at("mem.w1.write", 11 + d, "write", a=east(0), addr=1)
    bench.at("mem.e0.write", 11 + d + bench.hops("mem.w0.read", chip.queue_column("mem.e0.write")),
             "write", a=east(0), addr=1)  # fmt: skip
    bench.output("w1", 1, 1, "near")
    bench.output("e0", 1, 1, "far")
    result = bench.run()
    np.testing.assert_array_equal(result.outputs["near"], data[:1])
    np.testing.assert_array_equal(result.outputs["far"], data[1:])
    assert not result.hazards  # the first value was read before it was replaced


def test_reading_does_not_remove() -> None:
    bench = Bench()
    bench.memory("w2", 0, rows(1))
    bench.at("mem.w2.read", 0, "read", dst=east(0), addr=0)
    for name in ("w0", "e0", "e3"):
        queue = f"mem.{name}.write"
        hops = bench.hops("mem.w2.read", bench.chip.queue_column(queue))
        bench.at(queue, bench.chip.latency["mem.read"] + hops, "write", a=east(0), addr=100)
        bench.output(name, 100, 1, name)
    result = bench.run()
    for name in ("w0", "e0", "e3"):
        np.testing.assert_array_equal(result.outputs[name], rows(1))


@pytest.mark.parametrize("early", [0, 1])
def test_a_word_is_visible_after_the_cycle_of_landing(early: int) -> None:
    """A read in the landing cycle still sees the old word."""
    bench = Bench()
    d = bench.chip.latency
    old, new = rows(1, 1), rows(1, 2)
    bench.memory("w0", 0, new)
    bench.memory("e0", 5, old)
    bench.at("mem.w0.read", 0, "read", dst=east(0), addr=0)
    column = bench.chip.queue_column("mem.e0.write")
    written = d["mem.read"] + bench.hops("mem.w0.read", column)
    bench.at("mem.e0.write", written, "write", a=east(0), addr=5)
    read = written + d["mem.write"] + 1 - early
    bench.at("mem.e0.read", read, "read", dst=west(0), addr=5)
    back = read + d["mem.read"] + bench.hops("mem.e0.read", bench.chip.queue_column("mem.w1.write"))
    bench.at("mem.w1.write", back, "write", a=west(0), addr=7)
    bench.output("w1", 7, 1, "y")
    np.testing.assert_array_equal(bench.run().outputs["y"], old if early else new)


def test_two_level_repeat_and_negative_stride() -> None:
    bench = Bench()
    bench.memory("w0", 0, rows(12), "x")
    repeat = {"n": 2, "d": 1, "stride": -1, "n2": 1, "d2": 5, "stride2": 6}
    bench.at("mem.w0.read", 0, "read", dst=east(0), addr=4, repeat=repeat)
    there = bench.chip.latency["mem.read"] + bench.hops(
        "mem.w0.read", bench.chip.queue_column("mem.e0.write")
    )
    bench.at("mem.e0.write", there, "write", a=east(0), addr=0,
             repeat={**repeat, "stride": 1, "stride2": 3})  # fmt: skip
    bench.output("e0", 0, 6, "y")
    result = bench.run()
    np.testing.assert_array_equal(result.outputs["y"], rows(12)[[4, 3, 2, 10, 9, 8]])
    burst = result.issues[result.issues["section"] == 0]
    assert burst["cycle"].tolist() == [0, 5]
    assert burst["count"].tolist() == [3, 3]


def map_planes(values: list[int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """One map row: a uint16 per superlane in its first lane."""
    lanes = np.zeros((1, LANES), np.uint16)
    lanes[0, ::16] = values
    return planes_of(lanes)


def test_gather_reads_each_superlanes_own_word() -> None:
    chip = wide()
    bench = Bench(chip)
    data, column = rows(300), chip.queue_column("mem.e0.read")
    bench.memory("e0", 0, data)
    bench.feed(map_planes([260, 3]), ["w0", "w1"], east(0), column, 20)
    bench.at("mem.e0.read", 20, "gather", dst=east(4), a=east(0), base=2)
    bench.drain(1, ["e4"], east(4), column, 20 + chip.latency["mem.gather"])
    got = bench.run().outputs["y.0"][0]
    np.testing.assert_array_equal(got, np.concatenate([data[262, :16], data[5, 16:]]))


def test_scatter_writes_each_superlanes_own_word() -> None:
    chip = wide()
    bench = Bench(chip)
    data, column = rows(1), chip.queue_column("mem.e0.write")
    bench.memory("e0", 0, np.zeros((20, LANES)))
    bench.feed(map_planes([7, 11]), ["w0", "w1"], east(0), column, 20)
    bench.feed(data[:, None], ["w2"], east(2), column, 20)
    bench.at("mem.e0.write", 20, "scatter", b=east(0), a=east(2), base=1)
    read = 20 + chip.latency["mem.scatter"] + 1
    bench.at(
        "mem.e0.read", read, "read", dst=east(5), addr=0, repeat={"n": 19, "d": 1, "stride": 1}
    )
    bench.drain(20, ["e4"], east(5), column, read + chip.latency["mem.read"])
    got = bench.run().outputs["y.0"]
    wanted = np.zeros((20, LANES), np.uint8)
    wanted[8, :16], wanted[12, 16:] = data[0, :16], data[0, 16:]
    np.testing.assert_array_equal(got, wanted)


def test_partly_written_word_is_poison_where_it_is_used() -> None:
    """scatter writes one superlane of a fresh word; storing it is no use, arithmetic is."""
    chip = wide()
    column = chip.queue_column("mem.e0.write")

    def bench(use: bool) -> Bench:
        b = Bench(chip)
        b.feed(map_planes([7, 11]), ["w0", "w1"], east(0), column, 20)
        b.feed(rows(1)[:, None], ["w2"], east(2), column, 20)
        b.at("mem.e0.write", 20, "scatter", b=east(0), a=east(2))
        b.at("mem.e0.read", 30, "read", dst=east(5), addr=7)
        there = 30 + chip.latency["mem.read"]
        if use:
            at = chip.sxm_column("e")
            b.at("sxm.e.0", there + at - column, "shift", width=1, dst=east(6), a=east(5), amount=1)
        else:
            b.at("mem.e4.write", there + bench_hops(b), "write", a=east(5), addr=0)
        return b

    def bench_hops(b: Bench) -> int:
        return b.hops("mem.e0.read", chip.queue_column("mem.e4.write"))

    bench(False).run()
    hazard = bench(True).fails("poison")
    assert "superlane 1" in hazard.message
    assert hazard.stream == "s5.e"


@pytest.mark.parametrize("name", ["lpu-tsp1", "lpu-lp30"])
def test_real_chips_copy(name: str) -> None:
    chip = chip_named(name)
    bench = Bench(chip)
    data = np.random.default_rng(0).integers(0, 256, (3, 320)).astype(np.uint8)
    far = f"e{chip.mem.slices - 1}"
    bench.feed(data[:, None], [f"w{chip.mem.slices - 1}"], east(31), chip.vxm_column, 100)
    bench.drain(3, [far], east(31), chip.vxm_column, 100)
    result = bench.run()
    np.testing.assert_array_equal(result.outputs["y.0"], data)
    assert result.cycles == 1 + 102 + chip.mem_columns + chip.latency["mem.write"] + 20


def test_skew_shifts_when_operands_are_taken() -> None:
    chip = wide()
    late = chip.model_copy(update={
        "skew": {"vxm.add": 2, "mem.write": 1}, "latency": {**chip.latency, "mem.write": 2},
    })  # fmt: skip
    bench = Bench(late)
    a = np.random.default_rng(0).standard_normal((3, LANES)).astype(np.float32)
    column, issue = chip.vxm_column, 38
    bench.feed(planes_of(a), ["w0", "w1", "w2", "w3"], east(0), column, issue + 2)
    repeat = {"n": 2, "d": 1}
    bench.at("vxm.0", issue, "neg", type="fp32", dst=east(4), a=east(0), repeat=repeat)
    slices = ["e0", "e1", "e2", "e3"]
    bench.drain(3, slices, east(4), column, issue + chip.latency["vxm.add"] - 1)
    result = bench.run()
    np.testing.assert_array_equal(bench.values(result, np.float32), -a)
    assert not result.hazards
