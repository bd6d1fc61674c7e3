"""Every cycle of every unit has one reason, and the reason is the right one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emulator.lpu.accounts import units_of
from emulator.result import AccountingError, InstructionUse, Result, UnitUse
from isa.fields import Alu
from tests.emulator.lpu.lpu_programs import (
    START,
    Bench,
    chip_named,
    east,
    easts,
    planes_of,
    west,
    wests,
    wide,
)

LANES = 32


def rows(n: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (n, LANES)).astype(np.uint8)


def use(result: Result, queue: str, nth: int = 0) -> InstructionUse:
    """The nth instruction of a queue."""
    return [i for i in result.instructions if i.section == queue][nth]


def moved(read: int, late: int) -> Bench:
    """A read in cycle `read`; its write `late` cycles after the value's first pass."""
    bench = Bench()
    bench.memory("w0", 0, rows(1))
    bench.at("mem.w0.read", read, "read", dst=east(0), addr=0)
    column = bench.chip.queue_column("mem.w0.read")
    bench.drain(1, ["e0"], east(0), column, read + bench.chip.latency["mem.read"])
    return bench


def test_a_wait_for_an_operand_blames_the_cause() -> None:
    """The read could have come 9 cycles earlier: that is `schedule`, here and at the write."""
    bench = moved(9, 0)
    result = bench.run()
    flight = bench.chip.latency["mem.read"] + bench.hops(
        "mem.w0.read", bench.chip.queue_column("mem.e0.write")
    )
    assert use(result, "mem.w0.read").waits == {"schedule": 9}
    assert use(result, "mem.e0.write").waits == {"operand": flight, "schedule": 9}
    assert result.unit("mem.e").waits == {"operand": flight, "schedule": 9}
    assert result.unit("mem.w").busy == 1


def test_slack_goes_through_a_burst() -> None:
    """Every repetition of a late burst is as late as its first."""
    bench = Bench()
    bench.memory("w0", 0, rows(8))
    bench.at("mem.w0.read", 9, "read", dst=east(0), addr=0, repeat={"n": 7, "d": 1, "stride": 1})
    column = bench.chip.queue_column("mem.w0.read")
    there = 9 + bench.chip.latency["mem.read"] + 5
    bench.drain(3, ["e0"], east(0), column, there)  # from the sixth value on
    result = bench.run()
    flight = bench.chip.latency["mem.read"] + bench.hops(
        "mem.w0.read", bench.chip.queue_column("mem.e0.write")
    )
    assert use(result, "mem.e0.write").waits == {"operand": flight + 5, "schedule": 9}


def test_a_written_word_is_an_operand_of_its_reader() -> None:
    bench = moved(0, 0)
    chip = bench.chip
    column = chip.queue_column("mem.e0.read")
    write = chip.latency["mem.read"] + bench.hops("mem.w0.read", column)
    visible = write + chip.latency["mem.write"] + 1
    bench.at("mem.e0.read", visible + 3, "read", dst=west(0), addr=512)
    bench.drain(1, ["w1"], west(0), column, visible + 3 + chip.latency["mem.read"], name="z")
    result = bench.run()
    assert use(result, "mem.e0.read").waits == {"operand": visible, "schedule": 3}


def test_a_stream_that_carries_another_value() -> None:
    """w2's value passes w0's column: w0 may drive the stream one diagonal later, no earlier than
    w2 lets it: w2 itself could have read 4 cycles before."""
    bench = Bench()
    bench.memory("w2", 0, rows(1, 1))
    bench.memory("w0", 0, rows(1, 2))
    bench.at("mem.w2.read", 4, "read", dst=east(0), addr=0)
    column = bench.chip.queue_column("mem.w2.read")
    bench.drain(1, ["e0"], east(0), column, 4 + bench.chip.latency["mem.read"])
    bench.at("mem.w0.read", 6, "read", dst=east(0), addr=0)  # a column further, next diagonal
    near = bench.chip.queue_column("mem.w0.read")
    bench.drain(1, ["e2"], east(0), near, 6 + bench.chip.latency["mem.read"], name="z")
    result = bench.run()
    assert use(result, "mem.w0.read").waits == {"stream": 2, "schedule": 4}


def test_a_value_that_nobody_reads_further_on_frees_the_stream() -> None:
    """The first value is last read at w0's column, so w0 is stopped there only."""
    bench = Bench()
    bench.memory("w2", 0, rows(1, 1))
    bench.memory("w0", 0, rows(1, 2))
    bench.at("mem.w2.read", 4, "read", dst=east(0), addr=0)
    bench.drain(1, ["w3"], east(0), bench.chip.queue_column("mem.w3.write"),
                4 + bench.chip.latency["mem.read"])  # fmt: skip
    bench.queues["mem.w3.write"].clear()
    bench.tensors = [t for t in bench.tensors if t.role == "in"]
    bench.at("mem.w0.read", 6, "read", dst=east(0), addr=0)
    near = bench.chip.queue_column("mem.w0.read")
    bench.drain(1, ["e2"], east(0), near, 6 + bench.chip.latency["mem.read"], name="z")
    assert use(bench.run(), "mem.w0.read").waits == {"schedule": 6}


def test_a_bank_that_the_other_port_uses() -> None:
    bench = Bench()
    chip = bench.chip
    column = chip.queue_column("mem.e0.write")
    bench.memory("e0", 5, rows(1))
    bench.feed(rows(1)[:, None], ["w0"], east(0), column, 20)
    bench.at("mem.e0.write", 20, "write", a=east(0), addr=9)
    bench.at("mem.e0.read", 23, "read", dst=west(0), addr=5)
    bench.drain(1, ["w1"], west(0), column, 23 + chip.latency["mem.read"])
    write = chip.latency["mem.read"] + bench.hops("mem.w0.read", column)  # at the earliest
    assert use(bench.run(), "mem.e0.read").waits == {"bank": write + 1, "schedule": 22 - write}


def test_the_other_bank_is_free() -> None:
    bench = Bench()
    chip = bench.chip
    column = chip.queue_column("mem.e0.write")
    bench.memory("e0", 1029, rows(1))
    bench.feed(rows(1)[:, None], ["w0"], east(0), column, 20)
    bench.at("mem.e0.write", 20, "write", a=east(0), addr=9)
    bench.at("mem.e0.read", 23, "read", dst=west(0), addr=1029)
    bench.drain(1, ["w1"], west(0), column, 23 + chip.latency["mem.read"])
    assert use(bench.run(), "mem.e0.read").waits == {"schedule": 23}


def matrix(gap: int = 0, second: bool = False) -> Bench:
    """lw, iw, mm on mxm.1 of the tiny chip, `gap` cycles between iw's latency and mm."""
    bench = Bench(wide())
    chip = bench.chip
    column = chip.mxm_column("e")
    w = np.ones((2, 16, LANES), np.uint8)
    bench.feed(w, wests(0, 16), east(0), column, START)
    bench.at("mxm.1.weights", START, "lw", type="int8", a=east(0), rows=32, lanes=32)
    bench.at("mxm.1.weights", START + 2, "iw")
    at = START + 2 + chip.latency["mxm.iw"] + gap
    bench.feed(rows(4)[:, None], ["e0"], east(20), column, at)
    bench.at("mxm.1.mm", at, "mm", type="int8", a=east(20), row=0, start=True, emit=True,
             dst=west(4), repeat={"n": 3, "d": 1, "stride": 1})  # fmt: skip
    bench.drain(4, easts(4, 4), west(4), column, at + chip.latency["mxm.mm"])
    return bench


def test_a_product_waits_for_its_weights() -> None:
    """The load could have come as soon as reads take; the rest is the program's."""
    bench = matrix(gap=5)
    chip = bench.chip
    result = bench.run()
    flight = max(bench.hops(f"mem.w{i}.read", chip.mxm_column("e")) for i in range(16))
    load = chip.latency["mem.read"] + flight
    ready = load + 2 + chip.latency["mxm.iw"]
    unit = result.unit("mxm.1")
    assert unit.busy == 4
    assert unit.waits == {"weights": ready, "schedule": START - load + 5}
    assert unit.idle == result.cycles - sum(unit.waits.values()) - 4
    assert result.unit("mxm.0").idle == result.cycles
    assert use(result, "mxm.1.weights").waits == {"operand": load, "schedule": START - load}
    assert use(result, "mxm.1.weights", 1).waits == {}


def test_phases_and_memory() -> None:
    bench = matrix()
    result = bench.run()
    at = START + 2 + bench.chip.latency["mxm.iw"]
    assert result.phases == {
        "fill": START, "drain": result.cycles - START - 2, "first_mm": at, "last_mm": at + 3,
    }  # fmt: skip
    sram, stream = result.memory["sram"], result.memory["stream"]
    assert (sram.read_bytes, sram.write_bytes) == ((32 + 4) * LANES, 16 * LANES)
    assert (stream.read_bytes, stream.write_bytes) == ((36 + 16) * LANES, (36 + 16) * LANES)
    chip = bench.chip
    assert sram.peak_bytes_per_s == 2 * 32 * LANES * chip.clock
    assert stream.peak_bytes_per_s == 128 * LANES * chip.clock  # in each half of the chip
    light = result.speed_of_light
    assert light["mxm"] == 4 / (2 * result.cycles)
    assert light["stream"] == 36 / (64 * result.cycles)
    assert light["sram"] == 36 / (32 * result.cycles)
    assert light[result.bound] == max(light.values())


def test_peaks_of_the_first_generation() -> None:
    """20,480 B per cycle on the streams of each half, 56,320 through SRAM ports."""
    bench = Bench(chip_named("lpu-tsp1"))
    result = bench.run()
    clock = bench.chip.clock
    assert result.memory["stream"].peak_bytes_per_s == 2 * 20480 * clock
    assert result.memory["sram"].peak_bytes_per_s == 56320 * clock


def test_the_partner_of_a_pair_is_waited_for() -> None:
    """The odd plane's load after the pair's, both from far enough away to be ready before."""
    bench = Bench(chip_named("lpu-tsp1"))
    chip = bench.chip
    column, read = chip.mxm_column("w"), chip.latency["mem.read"]
    bench.feed(np.ones((5, 16, 320), np.uint8), easts(0, 16), west(0), column, 80)
    bench.at("mxm.0.weights", 80, "lw", type="fp16", a=west(0), rows=40, lanes=160)
    bench.feed(np.ones((1, 16, 320), np.uint8), wests(20, 16), west(16), column, 90)
    bench.at("mxm.1.weights", 90, "lw", type="int8", a=west(16), rows=16, lanes=320)
    result = bench.run()
    pair = read + max(bench.hops(f"mem.e{i}.read", column) for i in range(16))
    assert use(result, "mxm.0.weights").waits == {"operand": pair, "schedule": 80 - pair}
    assert use(result, "mxm.1.weights").waits == {"unit": pair + 5, "schedule": 90 - pair - 5}


def test_both_planes_of_a_pair_are_accounted() -> None:
    """An int8 product on the odd plane, then the pair's: the odd plane has both."""
    bench = Bench(chip_named("lpu-tsp1"))
    chip = bench.chip
    column = chip.mxm_column("w")
    w = np.ones((1, 16, 320), np.uint8)
    bench.feed(w, easts(0, 16), west(0), column, 80)
    bench.at("mxm.1.weights", 80, "lw", type="int8", a=west(0), rows=16, lanes=320)
    bench.at("mxm.1.weights", 81, "iw")
    bench.feed(np.ones((2, 1, 320), np.uint8), easts(16, 1), west(16), column, 83)
    bench.at("mxm.1.mm", 83, "mm", type="int8", a=west(16), row=0, start=True,
             repeat={"n": 1, "d": 1, "stride": 1})  # fmt: skip
    bench.feed(w, easts(0, 16), west(0), column, 90, base=9)
    bench.at("mxm.0.weights", 90, "lw", type="fp16", a=west(0), rows=8, lanes=160)
    bench.at("mxm.0.weights", 91, "iw")
    bench.feed(np.ones((3, 2, 320), np.uint8), easts(20, 2), west(16), column, 93)
    bench.at("mxm.0.mm", 93, "mm", type="fp16", a=west(16), row=0, start=True,
             repeat={"n": 2, "d": 1, "stride": 1})  # fmt: skip
    result = bench.run()
    even, odd = result.unit("mxm.0"), result.unit("mxm.1")
    assert (even.busy, odd.busy) == (3, 5)
    assert sum(even.waits.values()) == 93
    assert sum(odd.waits.values()) == 83 + 8
    assert even.idle == odd.idle


def test_chained_operands_count() -> None:
    bench = Bench(wide())
    chip = bench.chip
    x = np.ones((1, LANES), np.float32)
    bench.feed(planes_of(x), wests(0, 4), east(0), chip.vxm_column, START)
    bench.at("vxm.0", START, "neg", type="fp32", dst=None, a=east(0))
    bench.at("vxm.2", START + 4, "neg", type="fp32", dst=east(4), a=Alu(0))
    bench.drain(1, easts(0, 4), east(4), chip.vxm_column, START + 8)
    result = bench.run()
    flight = [bench.hops(f"mem.w{i}.read", chip.vxm_column) for i in range(4)]
    earliest = chip.latency["mem.read"] + max(flight)
    assert use(result, "vxm.0").waits == {"operand": earliest, "schedule": START - earliest}
    assert use(result, "vxm.2").waits == {"operand": earliest + 4, "schedule": START - earliest}
    assert result.unit("vxm").count == 16


def test_every_unit_is_listed_and_sums() -> None:
    result = matrix().run()
    chip = wide()
    assert [u.name for u in result.units] == list(units_of(chip))
    assert [u.name for u in result.units] == [
        "mxm.0", "mxm.1", "vxm", "sxm.w", "sxm.e", "mem.w", "mem.e"
    ]  # fmt: skip
    assert result.unit("mem.w").count == 32
    for unit in result.units:
        assert unit.busy + sum(unit.waits.values()) + unit.idle == unit.count * result.cycles


def test_a_sum_that_does_not_add_up_is_caught() -> None:
    with pytest.raises(AccountingError):
        UnitUse("vxm", 16, 3, {}, 0).check(100)


def test_issues_are_bursts() -> None:
    bench = matrix()
    result = bench.run()
    at = START + 2 + bench.chip.latency["mxm.iw"]
    names = [s.name for s in bench.program().sections]
    bursts = {(names[r["section"]], int(r["word"])): r for r in result.issues}
    mm = bursts["mxm.1.mm", 1]
    assert (mm["cycle"], mm["count"], mm["interval"], mm["hold"]) == (at, 4, 1, 1)
    assert bursts["mxm.1.weights", 1]["hold"] == 2


def test_an_empty_program_takes_the_stagger() -> None:
    bench = Bench()
    result = bench.run()
    assert result.cycles == bench.chip.stagger
    assert all(u.idle == u.count * result.cycles for u in result.units)
    bench.at("mem.w0.read", 500, "nop", n=7)  # nothing happens in a nop
    assert bench.run().cycles == bench.chip.stagger
