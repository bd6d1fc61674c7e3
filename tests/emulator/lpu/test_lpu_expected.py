"""Expected producers as arrays say what the mapping says."""

from dataclasses import replace
from typing import Any

import pytest

from emulator.lpu.chip import load
from emulator.lpu.expected import Expected
from emulator.lpu.prepare import Prepared, prepare
from isa.program import Program, Section
from programs.registry import find

CHIP = load("lpu-lp30")


def built(kernel: str, dtype: str, **sizes: int) -> Program:
    found = find(kernel, "lpu")
    program: Program = found.build(CHIP, dtype, found.resolve(sizes))
    return program


def meant(prepared: Prepared) -> dict[tuple[int, str], list[list[int]]]:
    """Sorted producers, per stream of every operand of every op that expects any."""
    found = {}
    for i, op in enumerate(prepared.ops):
        for operand in "abc":
            wanted = int(op[f"expect_{operand}"])
            if wanted < 0:
                continue
            first, count = prepared.expect_operands[wanted]
            found[i, operand] = [
                prepared.expect_producers[at : at + n].tolist()
                for at, n in prepared.expect_streams[first : first + count]
            ]
    return found


@pytest.mark.parametrize(
    ("kernel", "dtype", "sizes"),
    [
        ("matmul", "int8", {"m": 3, "n": 700, "k": 700}),
        ("matmul", "mxfp8", {"m": 400, "n": 400, "k": 700}),
        ("attention", "bf16", {"seq": 40, "kv": 40, "heads": 2, "causal": 1}),
        ("softmax", "fp32", {"rows": 9, "cols": 40}),
    ],
)
def test_arrays_and_mapping_agree(kernel: str, dtype: str, sizes: dict[str, int]) -> None:
    program = built(kernel, dtype, **sizes)
    assert isinstance(program.expects, Expected)
    plain = replace(program, expects=dict(program.expects))
    assert plain == program
    assert len(program.expects) == len(dict(program.expects))
    one, other = prepare(program, CHIP), prepare(plain, CHIP)
    assert meant(one) == meant(other) != {}
    assert one.faults == other.faults == ()


@pytest.mark.parametrize("cut", ["section", "words"])
def test_arrays_about_other_words_are_faults(cut: str) -> None:
    program = built("matmul", "int8", m=3, n=40, k=40)
    sections: tuple[Section, ...] = program.sections[:-1]
    if cut == "words":
        last = program.sections[-1]
        sections += (Section(last.name, last.words[:16]),)
    shorter: dict[str, Any] = {"sections": sections}
    faults = prepare(replace(program, **shorter), CHIP).faults
    plain = replace(program, expects=dict(program.expects), **shorter)
    assert faults == prepare(plain, CHIP).faults
    assert any("expected producers of" in fault.message for fault in faults)
