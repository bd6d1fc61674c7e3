"""The bulk engine against the step engine: the same of everything, on every legal program."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.lpu import passes
from emulator.lpu.chip import load
from emulator.lpu.machine import HazardError, Machine
from emulator.lpu.prepare import prepare
from isa.program import Program
from programs.kernel import KernelError
from programs.registry import find, kernels
from tests.emulator.lpu.lpu_bursts import BurstPlanner
from tests.emulator.lpu.lpu_programs import Bench, chip_named, east, wide
from tests.emulator.lpu.lpu_random import Planner
from tests.emulator.lpu.test_lpu_fuzz import program as illegal
from tests.emulator.lpu.test_lpu_machine import same
from tests.emulator.lpu.test_lpu_mem import copy

SHAPES = {
    "matmul": {"m": 70, "n": 90, "k": 400},
    "attention": {"batch": 1, "heads": 2, "kv_heads": 1, "seq": 40, "kv": 72, "head_dim": 32},
    "swiglu": {"m": 20, "n": 70, "k": 100}, "lstm": {"hidden": 64, "batch": 3},
}  # fmt: skip


def agree(bench: Bench) -> bool:
    """Both engines do the same with a program; whether the bulk engine did it itself."""
    built = bench.program()
    step = Machine(bench.chip, engine="step").run(built, bench.inputs)
    loaded = Machine(bench.chip).prepare(built)
    same(step, loaded(bench.inputs))
    same(step, loaded(mode="timing"), outputs=False)
    return loaded.timed is not None


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40))
def test_single_instructions(seed: int, count: int) -> None:
    assert agree(Planner(seed).fill(count).bench)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 25))
def test_bursts(seed: int, count: int) -> None:
    agree(BurstPlanner(seed).fill(count).bench)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 25))
def test_passes_made_by_threads(seed: int, count: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "_THREADS_PAY", 0)
        patch.setattr(passes, "host_threads", lambda: 3)
        agree(BurstPlanner(seed).fill(count).bench)


def test_who_sees_accumulators() -> None:
    """A chain is private unless another pass goes on with its rows."""

    def found(*bursts: tuple[int, int, int, bool, bool]) -> list[list[int]]:
        made = (passes.Burst(i, 0, *burst) for i, burst in enumerate(bursts))
        return [chain.passes for chain in passes.find_chains(made, 10)]

    start, middle, emit, both = (True, False), (False, False), (False, True), (True, True)
    assert found((0, 4, 1, *start), (0, 4, 1, *middle), (0, 4, 1, *emit)) == [[0, 1, 2]]
    assert found((0, 4, 1, *start), (4, 4, 1, *both), (0, 4, 1, *emit)) == [[0, 2], [1]]
    assert found((0, 1, 0, *start), (0, 1, 0, *emit), (0, 9, 0, *both)) == [[0, 1], [2]]
    assert found((0, 4, 1, *start), (0, 4, 1, *emit), (0, 4, 1, *emit)) == []
    assert found((0, 4, 1, *start), (1, 1, 1, *start), (0, 4, 1, *emit)) == []
    assert found((0, 4, 1, *both), (2, 2, 1, *emit), (2, 2, 1, *both)) == [[2]]
    assert found((0, 4, 0, *start), (0, 4, 0, *emit)) == []
    assert found((0, 4, 1, *start), (0, 4, 1, *middle)) == []


@pytest.mark.parametrize(("base", "overwritten"), [(0, False), (0, True), (5, False)])
def test_copies_that_nobody_needs(base: int, overwritten: bool) -> None:
    """Reads of a copy are reads of the first, unless the program writes to it or they differ."""
    bench = copy()  # of x, from w0 to e0
    x = bench.tensors[0]
    first = replace(x.layouts[0], slices=("e1",), base=base)
    bench.tensors[0] = replace(x, layouts=(first, *x.layouts))
    if overwritten:
        bench.at("mem.w2.read", 40, "read", dst=east(7), addr=0)
        bench.memory("w2", 0, np.arange(32), "z")
        there = 40 + bench.chip.latency["mem.read"] + bench.hops(
            "mem.w2.read", bench.chip.queue_column("mem.w0.write"))  # fmt: skip
        bench.at("mem.w0.write", there, "write", a=east(7), addr=2)
    assert agree(bench)
    timed = Machine(bench.chip).prepare(bench.program()).timed
    assert timed is not None
    assert timed.flow.unused == (set() if base or overwritten else {("x", 1)})


def test_bursts_seldom_need_the_step_engine() -> None:
    done = [agree(BurstPlanner(seed).fill(12).bench) for seed in range(10)]
    assert sum(done) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, 500))
def test_ten_thousand_programs(first: int) -> None:
    for seed in range(first, first + 500):
        agree(BurstPlanner(seed).fill(1 + seed % 25).bench)


KERNELS = [
    (chip, name, dtype)
    for chip in ("lpu-lp30", "lpu-tsp1")
    for name in kernels("lpu")
    for dtype in find(name, "lpu").dtypes(load(chip))
]


@functools.cache
def built(chip: str, name: str, dtype: str) -> Program:
    kernel = find(name, "lpu")
    wanted = SHAPES.get(name, {"rows": 20, "cols": 100})
    given = {key: str(value) for key, value in wanted.items()}
    return kernel.build(load(chip), dtype, kernel.resolve(given, None))


@pytest.mark.parametrize(("chip", "name", "dtype"), KERNELS)
def test_kernels(chip: str, name: str, dtype: str) -> None:
    kernel = find(name, "lpu")
    wanted = SHAPES.get(name, {"rows": 20, "cols": 100})
    params = kernel.resolve({key: str(value) for key, value in wanted.items()}, None)
    try:
        program = built(chip, name, dtype)
    except KernelError as error:
        pytest.skip(str(error))
    tensors = kernel.encode(dtype, params, kernel.inputs(params, 0)).tensors
    loaded = Machine(load(chip)).prepare(program)
    assert loaded.timed is not None
    same(Machine(load(chip), engine="step").run(program, tensors), loaded(tensors))


def test_one_timing_serves_many_inputs() -> None:
    kernel = find("matmul", "lpu")
    params = kernel.resolve({"m": "20", "n": "30", "k": "40"}, None)
    chip = load("lpu-lp30")
    loaded = Machine(chip).prepare(kernel.build(chip, "int8", params))
    timed = loaded.timed
    for seed in range(3):
        encoded = kernel.encode("int8", params, kernel.inputs(params, seed))
        result = loaded(encoded.tensors)
        a, b = (encoded.tensors[name].astype(np.int64) for name in "ab")
        np.testing.assert_array_equal(result.outputs["c"], a @ b)
    assert loaded.timed is timed


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(2, 25), real=st.booleans())
def test_faults_are_the_same(seed: int, length: int, real: bool) -> None:
    chip = chip_named("lpu-lp30") if real else wide()
    bench = illegal(seed, chip, length if not real else 4)
    if prepare(bench.program(), chip).faults:
        return
    step, bulk = (Machine(chip, engine=engine) for engine in ("step", "bulk"))
    same(*(m.run(bench.program(), bench.inputs, hazards="warn") for m in (step, bulk)))
    found = []
    for machine in (step, bulk):
        try:
            found.append(machine.run(bench.program(), bench.inputs))
        except HazardError as error:
            found.append([h.message for h in error.hazards])
    if isinstance(found[0], list):
        assert found[0] == found[1]
    else:
        same(*found)
