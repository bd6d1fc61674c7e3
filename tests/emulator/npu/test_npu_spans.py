"""Spans: the account of a run, cycle by cycle, of the core that was looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from emulator.npu.chip import load
from emulator.npu.machine import Machine
from emulator.npu.spans import Watch
from emulator.result import Result
from programs.registry import find

CHIP = load("npu-tiny")
KERNELS = [
    ("matmul", "int8", {"m": 40, "n": 64, "k": 96}),
    ("attention", "fp16", {"heads": 2, "seq": 32, "kv": 64, "head_dim": 16}),
    ("softmax", "fp32", {"rows": 12, "cols": 70}),
]


def watched(
    kernel: str, dtype: str, sizes: dict[str, int], core: int, start: int, stop: int
) -> Result:
    found = find(kernel, "npu")
    program = found.build(CHIP, dtype, found.resolve(sizes))
    return Machine(CHIP).run(program, mode="timing", watch=Watch(core, start, stop))


@pytest.mark.parametrize(("kernel", "dtype", "sizes"), KERNELS)
def test_spans_of_all_cores_add_up_to_the_account(
    kernel: str, dtype: str, sizes: dict[str, int]
) -> None:
    total: Counter[tuple[str, str]] = Counter()
    for core in range(CHIP.cores):
        result = watched(kernel, dtype, sizes, core, 0, 1 << 40)
        for span in result.spans:
            part, _, pipe = span.unit.partition(".")
            total[f"{part.rstrip('01')}.{pipe}", span.wait or "busy"] += span.end - span.start
    for unit in result.units:
        assert unit.busy == total[unit.name, "busy"], unit.name
        for why, cycles in unit.waits.items():
            assert cycles == total[unit.name, why], (unit.name, why)


@pytest.mark.parametrize(("kernel", "dtype", "sizes"), KERNELS)
def test_spans_of_a_unit_follow_one_another(kernel: str, dtype: str, sizes: dict[str, int]) -> None:
    spans = watched(kernel, dtype, sizes, 0, 0, 1 << 40).spans
    for before, after in pairwise(spans):
        assert before.start < before.end
        assert before.unit != after.unit or before.end <= after.start


def test_a_range_cuts_spans_and_changes_no_cycle() -> None:
    whole = watched(*KERNELS[0], core=0, start=0, stop=1 << 40)
    part = watched(*KERNELS[0], core=0, start=150, stop=400)
    assert part.cycles == whole.cycles
    cut = [
        replace(span, start=max(span.start, 150), end=min(span.end, 400))
        for span in whole.spans
        if span.start < 400 and span.end > 150
    ]
    assert list(part.spans) == cut
    none = Machine(CHIP).run(
        find("matmul", "npu").build(CHIP, "int8", find("matmul", "npu").resolve(KERNELS[0][2])),
        mode="timing",
    )
    assert none.spans == ()
    assert none.cycles == whole.cycles
