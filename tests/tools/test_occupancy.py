"""A core's units as a picture."""

from __future__ import annotations

import re

import pytest

from emulator.result import Span
from tools.occupancy import occupancy, scale_of


def cells(spans: list[Span], start: int, stop: int, scale: int) -> str:
    units, _, _ = occupancy(
        spans, lambda span: span.where[0] if span.where else "scalar", start, stop, scale
    )
    (picture,) = units.values()
    return picture


def test_a_column_a_cycle() -> None:
    spans = [Span("v", 1, 3, ("add", 0), ""), Span("v", 3, 5, ("add", 1), ""),
             Span("v", 5, 8, ("mul", 0), "hbm"), Span("v", 8, 9, ("mul", 0), "")]  # fmt: skip
    assert cells(spans, 0, 10, 1) == ".A=A=hhhM."
    assert cells(spans[:2], 0, 6, 1) == ".A=A=."


def test_a_column_shows_what_took_the_most() -> None:
    spans = [Span("v", 0, 7, ("add", 0), ""), Span("v", 7, 30, ("mul", 0), "l2")]
    assert cells(spans, 0, 30, 10) == "All"
    assert cells(spans, 0, 30, 5) == "Alllll"


def test_letters_are_told_apart() -> None:
    spans = [Span("v", i, i + 1, (name, 0), "") for i, name in enumerate(("load", "load0", "lo"))]
    assert cells(spans, 0, 3, 1) == "LOA"


@pytest.mark.parametrize(
    ("cycles", "scale"), [(1, 1), (79, 1), (81, 2), (401, 10), (10**6, 20_000)]
)
def test_scales_are_round(cycles: int, scale: int) -> None:
    assert scale_of(cycles, 80) == scale
    assert scale * 80 >= cycles


def test_every_unit_of_the_core_has_a_row_of_the_same_length(call) -> None:
    text = call("cycles", "attention", "--chip", "npu-tiny", "--timeline", "0:3000",
                "--set", "heads=2", "--set", "seq=32", "--set", "kv=64",
                "--set", "head_dim=16", "--core", "1").stdout  # fmt: skip
    rows = re.findall(r"^  ((?:cube|vector\d)\.\w+) +(\S+)$", text, re.MULTILINE)
    names = [name for name, _ in rows]
    assert {"cube.m", "cube.mte1", "cube.mte2", "cube.fix", "vector0.v"} <= set(names)
    assert len({len(picture) for _, picture in rows}) == 1
    assert re.search(r"A column is \d+ cycles", text)
    assert "M mmad" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--chip", "npu-tiny", "--timeline", "0:100", "--core", "2"], "cores 0 to 1"),
        (["--chip", "npu-tiny", "--core", "1"], "--core goes with --timeline"),
        (["--chip", "lpu-tiny", "--timeline", "0:100", "--core", "0"], "is one core"),
        (["--chip", "lpu-tiny", "--timeline", "0:2001"], "at most 2,000 cycles"),
        (["--chip", "npu-tiny", "--timeline", "0:100000001"], "at most 100,000,000 cycles"),
        (["--chip", "npu-tiny", "--timeline", "9000000:9000100"], "the run ends in cycle"),
    ],
)
def test_what_cannot_be_shown(call, words: list[str], message: str) -> None:
    outcome = call("cycles", "matmul", "--set", "m=16", "--set", "n=32", "--set", "k=32", *words)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert ": error: " in outcome.stderr
    assert message in outcome.stderr
