"""Every hazard by a program that has it: kind, place, and what the message says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emulator.lpu.hazards import HazardError
from emulator.lpu.machine import Machine
from isa.fields import Alu, Imm
from isa.lpu import LPU
from isa.program import Program, Section
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


def floats(n: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((n, LANES)).astype(np.float32)


def adder(offset: int = 0) -> Bench:
    """y = a + b on ALU 0 at START; b comes `offset` cycles late."""
    bench = Bench(wide())
    column = bench.chip.vxm_column
    bench.feed(planes_of(floats(2, 1)), wests(0, 4), east(0), column, START)
    bench.feed(planes_of(floats(2, 2)), wests(4, 4), east(4), column, START + offset)
    bench.at("vxm.0", START, "add", type="fp32", dst=east(8), a=east(0), b=east(4),
             repeat={"n": 1, "d": 1})  # fmt: skip
    bench.drain(2, easts(0, 4), east(8), column, START + bench.chip.latency["vxm.add"])
    return bench


def test_operand_not_on_the_stream() -> None:
    bench = adder(1)
    hazard = bench.fails("operand")
    assert (hazard.cycle, hazard.column, hazard.stream) == (START, bench.chip.vxm_column, "s4.e")
    assert hazard.where == ("vxm.0", 1)
    assert "add finds no value on s4.e" in hazard.message
    assert f"vxm.0 word 1: cycle {START}, column {bench.chip.vxm_column}" in hazard.message


def test_all_hazards_of_the_cycle_are_reported_and_no_later_ones() -> None:
    with pytest.raises(HazardError) as caught:
        adder(2).run()
    streams = {h.stream for h in caught.value.hazards}
    assert streams == {"s4.e", "s5.e", "s6.e", "s7.e"}
    assert {h.cycle for h in caught.value.hazards} == {START}


def test_equal_hazards_are_merged_with_a_count() -> None:
    found = adder(2).warned("operand")
    assert [h.count for h in found if h.where == ("vxm.0", 1)] == [2, 2, 2, 2]


def test_source_lines_are_named() -> None:
    bench = adder(1)
    program = bench.program()
    sections = tuple(
        Section(s.name, s.words, tuple((0, 10 * i + 1) for i in range(len(s))))
        for s in program.sections
    )
    program = Program(program.isa, program.chip, sections, program.tensors, files=("k.s",))
    with pytest.raises(HazardError, match=r"k\.s:11: cycle 40"):
        Machine(bench.chip).run(program, bench.inputs)


def test_chained_operand_not_delivered() -> None:
    bench = Bench(wide())
    column = bench.chip.vxm_column
    bench.feed(planes_of(floats(1)), wests(0, 4), east(0), column, START)
    bench.at("vxm.0", START, "neg", type="fp32", dst=None, a=east(0))
    bench.at("vxm.1", START + 5, "neg", type="fp32", dst=None, a=Alu(0))
    hazard = bench.fails("operand")
    assert hazard.stream == "a0"
    assert "delivers nothing in this cycle" in hazard.message


def test_chained_operand_of_another_width() -> None:
    bench = Bench(wide())
    column = bench.chip.vxm_column
    bench.feed(planes_of(floats(1)), wests(0, 4), east(0), column, START)
    bench.at("vxm.0", START, "gt", type="fp32", dst=None, a=east(0), b=Imm(0.0))
    bench.at("vxm.1", START + 4, "neg", type="fp32", dst=None, a=Alu(0))
    hazard = bench.fails("operand")
    assert "takes 4 bytes a lane from a0, but gt (vxm.0 word 1) delivers 1" in hazard.message
    assert hazard.other == ("vxm.0", 1)


def test_two_producers_in_one_register() -> None:
    """Two slices of one column read onto one stream in the same cycle."""
    bench = Bench()
    bench.memory("w0", 0, rows(1, 1))
    bench.memory("w1", 0, rows(1, 2))
    bench.at("mem.w0.read", 3, "read", dst=east(0), addr=0)
    bench.at("mem.w1.read", 3, "read", dst=east(0), addr=0)
    hazard = bench.fails("collision")
    assert hazard.cycle == 3 + bench.chip.latency["mem.read"]
    assert {hazard.where, hazard.other} == {("mem.w0.read", 1), ("mem.w1.read", 1)}


def test_of_two_writers_the_higher_queue_number_wins() -> None:
    for first, second in (("w0", "w1"), ("w1", "w0")):
        bench = Bench()
        for i, name in enumerate((first, second)):
            bench.memory(name, 0, rows(1, int(name[1])), name=f"x{i}")
            bench.at(f"mem.{name}.read", 3, "read", dst=east(0), addr=0)
        column = bench.chip.queue_column("mem.w0.read")
        bench.drain(1, ["e0"], east(0), column, 3 + bench.chip.latency["mem.read"])
        result = bench.run(hazards="warn")
        np.testing.assert_array_equal(result.outputs["y.0"], rows(1, 1))


def test_two_results_of_one_alu() -> None:
    """exp2 takes longer than add: issued earlier, delivered together."""
    bench = Bench(wide())
    chip, column = bench.chip, bench.chip.vxm_column
    gap = chip.latency["vxm.exp2"] - chip.latency["vxm.add"]
    bench.feed(planes_of(floats(1)), wests(0, 4), east(0), column, START)
    bench.feed(planes_of(floats(1)), wests(0, 4), east(0), column, START + gap, base=9)
    bench.at("vxm.0", START, "exp2", type="fp32", dst=east(4), a=east(0))
    bench.at("vxm.0", START + gap, "neg", type="fp32", dst=east(8), a=east(0))
    hazard = bench.fails("collision")
    assert hazard.stream == "a0"
    assert f"both deliver on a0 in cycle {START + chip.latency['vxm.exp2']}" in hazard.message


def banked(read_bank: int, write_bank: int) -> Bench:
    """Slice e0 reads and writes in the same cycle."""
    bench = Bench()
    chip = bench.chip
    bank = 1 << chip.mem.bank_bit
    column = chip.queue_column("mem.e0.write")
    bench.memory("e0", 5 + read_bank * bank, rows(1, 1))
    bench.feed(rows(1, 2)[:, None], ["w0"], east(0), column, 20)
    bench.at("mem.e0.write", 20, "write", a=east(0), addr=9 + write_bank * bank)
    bench.at("mem.e0.read", 20, "read", dst=west(0), addr=5 + read_bank * bank)
    bench.drain(1, ["w1"], west(0), column, 20 + chip.latency["mem.read"])
    return bench


def test_bank_conflict() -> None:
    hazard = banked(1, 1).fails("bank")
    assert hazard.cycle == 20
    assert {hazard.where, hazard.other} == {("mem.e0.read", 1), ("mem.e0.write", 1)}
    assert "address bit 10" in hazard.message
    assert not banked(0, 1).run().hazards


def test_conflicting_read_returns_the_old_word() -> None:
    bench = Bench()
    column = bench.chip.queue_column("mem.e0.write")
    bench.memory("e0", 5, rows(1, 1))
    bench.feed(rows(1, 2)[:, None], ["w0"], east(0), column, 20)
    bench.at("mem.e0.write", 20, "write", a=east(0), addr=5)
    bench.at("mem.e0.read", 20, "read", dst=west(0), addr=5)
    bench.drain(1, ["w1"], west(0), column, 20 + bench.chip.latency["mem.read"])
    result = bench.run(hazards="warn")
    np.testing.assert_array_equal(result.outputs["y.0"], rows(1, 1))
    assert [h.kind for h in result.hazards] == ["bank"]


def test_bank_conflict_of_one_superlane() -> None:
    """A gather that touches the written bank in its second superlane only."""
    bench = Bench(wide())
    chip = bench.chip
    bank, column = 1 << chip.mem.bank_bit, chip.queue_column("mem.e0.read")
    entries = np.zeros((1, LANES), np.uint16)
    entries[0, 16] = bank
    bench.memory("e0", 0, rows(1))
    bench.memory("e0", bank, rows(1), "other")
    bench.feed(planes_of(entries), ["w0", "w1"], east(0), column, 20)
    bench.feed(rows(1)[:, None], ["w2"], east(2), column, 20)
    bench.at("mem.e0.read", 20, "gather", dst=east(4), a=east(0))
    bench.at("mem.e0.write", 20, "write", a=east(2), addr=bank + 3)
    hazard = bench.fails("bank")
    assert "superlane 1" in hazard.message


def test_map_beyond_the_slice() -> None:
    bench = Bench(wide())
    column = bench.chip.queue_column("mem.e0.read")
    entries = np.full((1, LANES), 2047, np.uint16)
    bench.memory("e0", 0, rows(1))
    bench.feed(planes_of(entries), ["w0", "w1"], east(0), column, 20)
    bench.at("mem.e0.read", 20, "gather", dst=east(4), a=east(0), base=1)
    assert "word 2048; a slice has 2048" in bench.fails("range").message


def test_read_of_memory_never_written() -> None:
    bench = Bench()
    bench.at("mem.w0.read", 3, "read", dst=east(0), addr=77)
    hazard = bench.fails("uninitialised")
    assert (hazard.cycle, hazard.where) == (3, ("mem.w0.read", 1))
    assert "word 77, which nothing has written" in hazard.message


def test_unwritten_memory_reads_zero_when_warned() -> None:
    bench = Bench()
    bench.at("mem.w0.read", 3, "read", dst=east(0), addr=77)
    column = bench.chip.queue_column("mem.w0.read")
    bench.drain(1, ["e0"], east(0), column, 3 + bench.chip.latency["mem.read"])
    result = bench.run(hazards="warn")
    assert not result.outputs["y.0"].any()
    assert [h.severity for h in result.hazards] == ["error"]


def test_empty_register_reads_zero_when_warned() -> None:
    bench = adder(50)
    result = bench.run(hazards="warn")
    np.testing.assert_array_equal(bench.values(result, np.float32), floats(2, 1))


def test_output_never_written() -> None:
    bench = Bench()
    bench.memory("w0", 0, rows(1))
    bench.output("e0", 5, 3, "y")
    hazard = bench.fails("uninitialised")
    assert "output 'y' is not complete" in hazard.message
    assert "3 of its vectors" in hazard.message


def test_running_value_never_started() -> None:
    bench = Bench(wide())
    bench.feed(planes_of(floats(1)), wests(0, 4), east(0), bench.chip.vxm_column, START)
    bench.at("vxm.0", START, "runsum", type="fp32", dst=None, a=east(0))
    assert "never started" in bench.fails("uninitialised").message


def test_running_value_of_another_type() -> None:
    bench = Bench(wide())
    bench.feed(planes_of(floats(2)), wests(0, 4), east(0), bench.chip.vxm_column, START)
    bench.at("vxm.0", START, "runsum", type="fp32", dst=None, a=east(0), start=True)
    bench.at("vxm.0", START + 1, "runsum", type="int32", dst=None, a=east(0))
    assert "type fp32" in bench.fails("uninitialised").message


# ---- expected producers --------------------------------------------------------------------------


def expecting(meant: int) -> Bench:
    """A write that takes the value of the first of two reads of one slice."""
    bench = Bench()
    bench.memory("w0", 0, rows(2))
    column = bench.chip.queue_column("mem.w0.read")
    bench.at("mem.w0.read", 3, "read", dst=east(0), addr=0)
    bench.at("mem.w0.read", 5, "read", dst=east(0), addr=1)
    bench.drain(1, ["e0"], east(0), column, 3 + bench.chip.latency["mem.read"])
    producer = ("mem.w0.read", bench.word("mem.w0.read", meant))
    bench.expects["mem.e0.write", bench.word("mem.e0.write", 0), "a"] = ((producer,),)
    return bench


def test_expected_producer() -> None:
    expecting(0).run()


def test_another_producer_than_meant() -> None:
    hazard = expecting(1).fails("producer")
    assert hazard.where == ("mem.e0.write", 1)
    assert hazard.other == ("mem.w0.read", 1)
    assert "takes the value of read (mem.w0.read word 1)" in hazard.message
    assert "meant was read (mem.w0.read word 3)" in hazard.message


def test_each_stream_of_an_operand_has_its_own_producer() -> None:
    bench = adder()
    meant = [((f"mem.w{i}.read", 1),) for i in range(4)]
    bench.expects["vxm.0", 1, "a"] = tuple(meant)
    bench.run()
    bench.expects["vxm.0", 1, "a"] = tuple(meant[::-1])
    with pytest.raises(HazardError) as caught:
        bench.run()
    assert [h.stream for h in caught.value.hazards] == ["s0.e", "s1.e", "s2.e", "s3.e"]


def test_any_of_several_producers() -> None:
    bench = expecting(1)
    meant = tuple(("mem.w0.read", bench.word("mem.w0.read", i)) for i in (1, 0))
    bench.expects["mem.e0.write", 1, "a"] = (meant,)
    bench.run()


def test_expectation_of_an_instruction_that_is_not_there() -> None:
    bench = expecting(0)
    bench.expects["mem.e0.write", 99, "a"] = ((("mem.w0.read", 1),),)
    assert "mem.e0.write word 99" in bench.fails("producer").message


# ---- warnings ------------------------------------------------------------------------------------


def test_overwritten_value() -> None:
    bench = Bench()
    data = rows(2)
    bench.memory("w2", 0, data[:1])
    bench.memory("w0", 0, data[1:])
    bench.at("mem.w2.read", 10, "read", dst=east(0), addr=0)
    bench.at("mem.w0.read", 11, "read", dst=east(0), addr=0)
    column = bench.chip.queue_column("mem.w0.read")
    bench.drain(1, ["e0"], east(0), column, 11 + bench.chip.latency["mem.read"])
    result = bench.run()
    (hazard,) = result.hazards
    assert (hazard.kind, hazard.severity) == ("overwritten", "warning")
    assert (hazard.where, hazard.other) == (("mem.w2.read", 1), ("mem.w0.read", 1))
    np.testing.assert_array_equal(result.outputs["y.0"], data[1:])


@pytest.mark.parametrize("n", [0, 20])
def test_value_nobody_reads(n: int) -> None:
    """Over the edge, or still under way when the run ends."""
    bench = Bench()
    bench.memory("w0", 0, rows(1))
    repeat = {"n": n, "d": 1} if n else None
    bench.at("mem.w0.read", 3, "read", dst=east(0), addr=0, repeat=repeat)
    (hazard,) = bench.run().hazards
    assert (hazard.kind, hazard.severity, hazard.count) == ("unconsumed", "warning", n + 1)
    assert hazard.cycle == 3 + bench.chip.latency["mem.read"]


def test_chained_result_nobody_takes() -> None:
    bench = Bench(wide())
    bench.feed(planes_of(floats(1)), wests(0, 4), east(0), bench.chip.vxm_column, START)
    bench.at("vxm.0", START, "neg", type="fp32", dst=None, a=east(0))
    (hazard,) = bench.run().hazards
    assert (hazard.kind, hazard.stream) == ("unconsumed", "a0")


# ---- queues --------------------------------------------------------------------------------------


def test_sync_and_notify() -> None:
    """Parked queues go on a fixed latency after the notify, also when it comes in their cycle."""
    bench = Bench()
    bench.memory("w0", 0, rows(1))
    latency = bench.chip.latency
    bench.at("mem.w0.read", 4, "sync")
    bench.at("mem.w0.read", 6, "read", dst=east(0), addr=0)  # two cycles after the release
    bench.at("mem.w3.read", 4, "notify")
    column = bench.chip.queue_column("mem.w0.read")
    bench.drain(1, ["e0"], east(0), column, 4 + latency["sync"] + 6 + latency["mem.read"])
    result = bench.run()
    np.testing.assert_array_equal(result.outputs["y.0"], rows(1))
    use = {(i.section, i.word): i for i in result.instructions}
    assert use["mem.w0.read", 3].waits == {"sync": 4 + latency["sync"], "schedule": 6}


def test_a_sync_after_the_notify_waits_for_the_next() -> None:
    bench = Bench()
    bench.memory("w0", 0, rows(1))
    bench.at("mem.w0.read", 5, "sync")
    bench.at("mem.w0.read", 6, "read", dst=east(0), addr=0)
    bench.at("mem.w3.read", 4, "notify")
    hazard = bench.fails("deadlock")
    assert hazard.where == ("mem.w0.read", 1)
    assert "no notify comes after it" in hazard.message
    bench.at("mem.w3.read", 9, "notify")
    assert bench.run().instructions[1].first_cycle == 9 + bench.chip.latency["sync"] + 6


READ = {"dst": east(0), "addr": 0}
MM = {"type": "int8", "a": east(0), "row": 0}
LW = {"type": "int8", "a": east(0), "rows": 32, "lanes": 32}
MOVE = {"width": 1, "dst": east(0), "a": east(1)}

# kind, queue, mnemonic, operands, what the message says
FAULTS: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("range", "mem.w0.read", "read", {**READ, "addr": 2048}, "word 2048; there are 0 to 2047"),
    ("range", "mem.w0.read", "read",
     {**READ, "addr": 2046, "repeat": {"n": 9, "d": 1, "stride": 1}}, "word 2048 in repetition 2;"),
    ("range", "mem.w0.read", "read",
     {**READ, "addr": 2, "repeat": {"n": 9, "d": 1, "stride": -1}}, "word -1 in repetition 3;"),
    ("range", "mem.w0.read", "read",
     {**READ, "addr": 2000,
      "repeat": {"n": 1, "d": 1, "stride": 8, "n2": 3, "d2": 5, "stride2": 20}},
     "word 2048 in repetition 1 of group 2;"),
    ("range", "vxm.2", "neg", {"type": "fp32", "dst": east(0), "a": Alu(16)}, "no ALU a16"),
    ("range", "mxm.1.weights", "lw", {**LW, "rows": 33}, "rows=33: lpu-tiny has rows up to 32"),
    ("range", "mxm.1.weights", "lw", {**LW, "lanes": 40}, "lanes=40: lpu-tiny has lanes up to 32"),
    ("range", "mxm.1.mm", "mm", {**MM, "row": 32}, "accumulator row 32; there are 0 to 31"),
    ("range", "sxm.w.0", "broadcast", {**MOVE, "lane": 32}, "lane 32; there are 0 to 31"),
    ("range", "sxm.w.0", "rotate", {**MOVE, "amount": 15, "repeat": {"n": 1, "d": 1, "stride": 1}},
     "amount 16 in repetition 1"),
    ("unit", "vxm.0", "read", READ, "read runs on a mem.read queue, not on vxm.0"),
    ("unit", "vxm.2", "exp2", {"type": "fp32", "dst": east(0), "a": east(4)},
     "exp2 needs a large ALU; those of lpu-tiny are 0, 1, 4"),
    ("mode", "mxm.0.mm", "mm", {**MM, "type": "hole"}, "does not multiply bf16"),
    ("direction", "mxm.0.mm", "mm", MM, "reads outward streams: .w, not .e"),
    ("direction", "mxm.1.weights", "lw", {**LW, "a": west(0)}, "reads outward streams: .e, not .w"),
    ("direction", "mxm.1.mm", "mm", {**MM, "emit": True, "dst": east(0)},
     "drives inward streams: .w, not .e"),
    ("operand", "mxm.1.mm", "mm", {**MM, "emit": True}, "if and only if it has emit"),
    ("operand", "mxm.1.mm", "mm", {**MM, "dst": west(0)}, "if and only if it has emit"),
    ("repeat", "mxm.1.weights", "lw", {**LW, "repeat": {"n": 1, "d": 1}}, "holds its queue for 2"),
    ("repeat", "mem.w0.read", "read", {**READ, "repeat": {"n": 2, "d": 2, "n2": 1, "d2": 4}},
     "d2=4 cycles apart, but a group takes 5"),
    ("section", "mem.w0.reed", "notify", {}, "did you mean 'mem.w0.read'"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "queue", "mnemonic", "fields", "text"), FAULTS)
def test_faults_at_load(
    kind: str, queue: str, mnemonic: str, fields: dict[str, Any], text: str
) -> None:
    bench = Bench()
    if kind == "mode":
        bench, fields = Bench(chip_named("lpu-tsp1")), {**fields, "type": "bf16", "a": west(0)}
    bench.at(queue, 1, mnemonic, **fields)
    hazard = bench.fails(kind)
    assert text in hazard.message
    assert hazard.where == (None if kind == "section" else (queue, 1))


def raw_section(*words: int) -> Program:
    data = b"".join(w.to_bytes(16, "little") for w in words)
    return Program("lpu", "lpu-tiny", (Section("mem.w0.read", data),))


def word(mnemonic: str, **fields: Any) -> int:
    return LPU.encode(LPU.make(mnemonic, **fields))


@pytest.mark.parametrize("before", [None, word("nop", n=1), word("notify"), word("sync")])
def test_repeat_needs_an_instruction_before_it(before: int | None) -> None:
    words = [w for w in (before, word("repeat", n=1, d=1)) if w is not None]
    with pytest.raises(HazardError, match="right after the instruction that it repeats"):
        Machine(chip_named()).run(raw_section(*words))


def test_words_that_are_no_instructions() -> None:
    with pytest.raises(HazardError, match="word 1: no lpu instruction has opcode 0xff") as caught:
        Machine(chip_named()).run(raw_section(word("notify"), 0xFF, 0x10 | 1 << 127))
    assert {h.kind for h in caught.value.hazards} == {"encoding"}
    assert len(caught.value.hazards) == 2


def test_section_twice() -> None:
    section = raw_section(word("notify")).sections[0]
    with pytest.raises(HazardError, match="appears twice"):
        Machine(chip_named()).run(Program("lpu", "lpu-tiny", (section, section)))


def test_warn_mode_reports_errors_and_ends() -> None:
    """Every hazard at once does not stop the machine."""
    bench = adder(1)
    bench.at("mem.w9.read", 1, "read", dst=east(9), addr=3)
    bench.at("mem.w8.read", 1, "sync")
    bench.at("sxm.w.0", 1, "permute", width=1, dst=east(20), a=east(21))
    bench.at("mxm.0.weights", 1, "iw")
    bench.at("mxm.0.mm", 1, "mm", type="int8", a=west(0), row=0)
    kinds = {h.kind for h in bench.run(hazards="warn").hazards}
    assert kinds >= {"operand", "uninitialised", "deadlock", "map", "weights"}
