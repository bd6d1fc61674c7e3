"""The scheduling API: what it refuses, what it explains, and that nothing overlaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.lpu.chip import load
from emulator.lpu.machine import Machine
from isa.program import Digit, Layout, Tensor
from programs.kernel import KernelError
from programs.lpu.schedule import Arena, Run, Schedule, ScheduleError

TINY = load("lpu-tiny")


def tensor(name, role, block, rows):
    layout = Layout(block.slices, block.base, (Digit(0, 1, rows, addr=block.step),), 1, 1, 32)
    return Tensor(name, "fp32", (rows, 32), role, (layout,))


def quad(side):
    return [f"{side}{i}" for i in range(4)]


@pytest.fixture
def sides():
    arena = Arena(TINY)
    return arena.block(quad("w"), 0, 8, "x"), arena.block(quad("e"), 1, 8, "y")


def scaled(schedule, x, y, factor=0.5, n=8, first=0):
    f = schedule.fragment(f"scale by {factor}")
    f.write(f.vxm("mul.fp32", f.read(x, first, n), factor), y, first)
    return schedule.place(f)


def test_a_fragment_runs(sides):
    x, y = sides
    schedule = Schedule(TINY, "scale")
    scaled(schedule, x, y)
    program = schedule.program([tensor("x", "in", x, 8), tensor("y", "out", y, 8)])
    values = np.arange(256, dtype=np.float32).reshape(8, 32)
    result = Machine(TINY).run(program, {"x": values.view(np.uint32)})
    np.testing.assert_array_equal(result.outputs["y"].view(np.float32), values / 2)
    assert not result.hazards


def test_the_second_fragment_waits_for_the_first_and_says_so(sides):
    x, y = sides
    schedule = Schedule(TINY, "scale")
    first, second = scaled(schedule, x, y), scaled(schedule, x, y, 2.0)
    assert (first.start, second.start) == (0, 8)
    assert str(second.blocked) == "queue mem.w0.read held by scale by 0.5"
    text = schedule.explain()
    assert "scale by 2.0" in text
    assert "the cycle before: queue mem.w0.read held by scale by 0.5" in text


def test_a_read_waits_until_the_vector_is_written(sides):
    x, y = sides
    schedule = Schedule(TINY, "chain")
    scaled(schedule, x, y)
    f = schedule.fragment("again")
    f.write(f.vxm("mul.fp32", f.read(y, 0, 8), 3.0), x, 0)
    again = schedule.place(f)
    assert again.least > 0
    assert "written" in again.bound
    tensors = [tensor("x", "in", x, 8), tensor("y", "out", y, 8)]
    result = Machine(TINY).run(schedule.program(tensors), {"x": np.zeros((8, 32), np.uint32)})
    assert not [h for h in result.hazards if h.severity == "error"]


def test_operands_that_cannot_meet(sides):
    x, y = sides
    f = Schedule(TINY, "diamond").fragment("diamond")
    value = f.vxm("mul.fp32", f.read(x, 0, 8), 2.0)
    f.write(f.vxm("add.fp32", f.vxm("exp2.fp32", value), value), y)
    for _ in range(2):
        with pytest.raises(ScheduleError, match="cannot meet"):
            f.solve()


def test_a_value_cannot_go_both_ways(sides):
    x, y = sides
    f = Schedule(TINY, "both").fragment("both")
    value = f.vxm("mul.fp32", f.read(x, 0, 8), 2.0)
    f.write(value, y)
    f.write(value, x.on(0, 1, 2, 3))
    with pytest.raises(ScheduleError, match="both east and west"):
        f.solve()


def test_a_result_nobody_uses(sides):
    f = Schedule(TINY, "lost").fragment("lost")
    f.vxm("mul.fp32", f.read(sides[0], 0, 8), 2.0)
    with pytest.raises(ScheduleError, match="nobody uses"):
        f.solve()


def test_two_islands_are_two_fragments(sides):
    x, y = sides
    f = Schedule(TINY, "islands").fragment("islands")
    f.write(f.vxm("mul.fp32", f.read(x, 0, 4), 2.0), y, 0)
    f.write(f.vxm("mul.fp32", f.read(x, 4, 4), 2.0), y, 4)
    with pytest.raises(ScheduleError, match="fragment of its own"):
        f.solve()


def test_a_value_belongs_to_its_fragment(sides):
    schedule = Schedule(TINY, "foreign")
    value = schedule.fragment("one").read(sides[0], 0, 8)
    with pytest.raises(ScheduleError, match="another fragment"):
        schedule.fragment("two").vxm("neg.fp32", value)


def test_memory_says_what_was_needed_and_available():
    with pytest.raises(KernelError, match=r"needs 64,000 bytes .* 32,768 available"):
        Arena(TINY).block(["w0"], 0, 2000, "rows")


@pytest.mark.parametrize("bit", [0, 10])
def test_blocks_stay_in_their_bank(bit):
    chip = load("lpu-tiny", {"mem.bank_bit": str(bit)})
    arena = Arena(chip)
    for bank in (0, 1):
        a, b = (arena.block(["w0"], bank, 300) for _ in range(2))
        words = [block.address(i) for block in (a, b) for i in range(300)]
        assert len(set(words)) == 600
        assert {chip.bank(word) for word in words} == {bank}


def test_runs_follow_one_another():
    arena = Arena(TINY)
    x = [arena.block([f"w{i}"], 0, 4, "x") for i in range(4)]
    y = arena.block(["e0"], 1, 8, "y")
    schedule = Schedule(TINY, "runs")
    f = schedule.fragment("gather")
    f.write(f.read_runs([[Run(x[0], 2, 2), Run(x[1], 0, 4), Run(x[2], 3, 2, 0)]], 8), y)
    schedule.place(f)
    tensors = []
    for i, block in enumerate(x):
        data = np.full((4, 32), 10 * i, np.uint8) + np.arange(4, dtype=np.uint8)[:, None]
        layout = Layout(block.slices, block.base, (Digit(0, 1, 4, addr=1),), 1, 1, 32)
        tensors.append(Tensor(f"x{i}", "uint8", (4, 32), "const", (layout,), data=data.tobytes()))
    layout = Layout(y.slices, y.base, (Digit(0, 1, 8, addr=1),), 1, 1, 32)
    tensors.append(Tensor("y", "uint8", (8, 32), "out", (layout,)))
    got = Machine(TINY).run(schedule.program(tensors), {}).outputs["y"][:, 0]
    assert got.tolist() == [2, 3, 10, 11, 12, 13, 23, 23]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 8), st.booleans()), min_size=1,
                max_size=12))  # fmt: skip
def test_random_fragments_never_collide(jobs):
    """Whatever is placed, the step engine (which checks everything) finds no fault."""
    arena = Arena(TINY)
    west, east = (arena.block(quad(s), 0, 16, s) for s in "we")
    out = [arena.block(quad(s), 1, 16, "y") for s in "we"]
    schedule = Schedule(TINY, "random")
    for first, n, swap in jobs:
        f = schedule.fragment(f"{first} {n}")
        a, b = f.read(west, first, n), f.read(east, first, n)
        total = f.vxm("add.fp32", *((b, a) if swap else (a, b)))
        f.write(total, out[swap], first)
        schedule.place(f)
    full = [Tensor(name, "fp32", (16, 32), "in", (Layout(
        b.slices, b.base, (Digit(0, 1, 16, addr=b.step),), 1, 1, 32),))
        for name, b in (("a", west), ("b", east))]  # fmt: skip
    zero = np.zeros((16, 32), np.uint32)
    result = Machine(TINY).run(schedule.program(full), {"a": zero, "b": zero})
    assert not result.hazards


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 8), st.booleans()), min_size=1,
                max_size=12))  # fmt: skip
def test_like_fragments_make_the_same_program(jobs):
    """Sharing operations with an earlier fragment changes nothing, not even what is explained."""

    def built(share):
        arena = Arena(TINY)
        x = arena.block(quad("w"), 0, 16, "x")
        out = [arena.block(quad("e"), bank, 16, "y") for bank in (0, 1)]
        schedule = Schedule(TINY, "alike")
        for first, n, again in jobs:
            y, label = out[again], f"{first} {n}"
            at = [(x, first), (y, first)]
            f = schedule.alike((n, again), label, at) if share else schedule.fragment(label)
            if f.empty:
                f.write(f.vxm("mul.fp32", f.read(x, first, n), 0.5), y, first)
            schedule.place(f)
            back = [(y, first), (x, first)]
            f = schedule.alike(n, label, back) if share else schedule.fragment(label)
            if f.empty:
                f.write(f.vxm("neg.fp32", f.read(y, first, n)), x, first)
            schedule.place(f)
        return schedule.program([tensor("x", "in", x, 16)]), schedule.explain()

    assert built(True) == built(False)


def test_nothing_placed_is_no_words():
    program = Schedule(TINY, "nothing").program([])
    assert program.sections == ()
    assert dict(program.expects) == {}


def test_a_like_fragment_waits_for_the_block_that_it_reads():
    """Places are other blocks too: times are those of the block, not of the first fragment's."""
    arena = Arena(TINY)
    x, late = (arena.block(quad("w"), 0, 8, "x") for _ in range(2))
    y, z = (arena.block(quad("e"), 1, 8, "y") for _ in range(2))
    schedule = Schedule(TINY, "times")
    scaled(schedule, x, z)
    f = schedule.fragment("back")
    f.write(f.vxm("mul.fp32", f.read(z, 0, 8), 2.0), late)
    back = schedule.place(f)
    starts = []
    for source, target in ((x, y), (late, y)):
        f = schedule.alike("copy", "copy", [(source, 0), (target, 0)])
        if f.empty:
            f.write(f.vxm("mul.fp32", f.read(source, 0, 8), 0.5), target)
        starts.append(schedule.place(f))
    assert starts[0].start < back.end <= starts[1].start
    assert "written" in starts[1].bound


def test_a_like_fragment_stays_in_its_blocks(sides):
    x, y = sides
    schedule = Schedule(TINY, "beyond")
    for first in (0, 4):
        f = schedule.alike("scale", "scale", [(x, first), (y, first)])
        if f.empty:
            f.write(f.vxm("mul.fp32", f.read(x, 0, 4), 0.5), y, 0)
        schedule.place(f)
    with pytest.raises(IndexError, match="vector 9 of a block of 8"):
        schedule.place(schedule.alike("scale", "scale", [(x, 6), (y, 6)]))
