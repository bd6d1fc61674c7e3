"""Random legal programs: right values, no hazards, the same every time, every cycle accounted."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.lpu.machine import Machine
from tests.emulator.lpu.lpu_random import Planner
from tests.emulator.lpu.test_lpu_machine import same


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40))
def test_random_legal_programs(seed: int, count: int) -> None:
    planner = Planner(seed).fill(count)
    bench = planner.bench
    machine, program = Machine(bench.chip), bench.program()
    result = machine.run(program, bench.inputs)
    assert not result.hazards
    for name, value in planner.written.items():
        np.testing.assert_array_equal(result.outputs[name][0], value)
    same(result, machine.run(program, bench.inputs))
    same(result, machine.run(program, mode="timing"), outputs=False)
    issued = sum(use.issued for use in result.instructions)
    assert issued == int(result.issues["count"].sum())
    for use in result.instructions:
        assert min(use.waits.values(), default=0) >= 0
    # Every gap is charged: a queue's busy cycles and waits reach to the end of its last issue.
    for section in program.sections:
        uses = [u for u in result.instructions if u.section == section.name]
        total = sum(u.busy + sum(u.waits.values()) for u in uses)
        assert total == 1 + max(u.last_cycle for u in uses)
