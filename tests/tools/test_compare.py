"""``presil compare``: several runs in one table, on the same tensors."""

from __future__ import annotations

import json

import numpy as np
import pytest

import presil
from tools import advice, comparison

SMALL = ("--dtype", "int8", "--set", "m=3", "--set", "n=5", "--set", "k=40")
TWO = ("--chip", "lpu-tiny", "--chip", "npu-tiny")


def test_two_machines_take_the_same_tensors(call, tmp_path) -> None:
    outcome = call("compare", "matmul", *TWO, *SMALL, "--json", tmp_path / "c.json")
    assert outcome.exit_code == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert lines[:2] == ["matmul  seed 0", "  m=3  n=5  k=40"]
    assert lines[3].split() == ["lpu-tiny", "npu-tiny"]
    assert "is in its SRAM" not in outcome.stdout
    assert lines[-1].startswith("Cycle 0:")
    runs = json.loads((tmp_path / "c.json").read_text())["runs"]
    assert [run["chip"] for run in runs] == ["lpu-tiny", "npu-tiny"]
    assert runs[0]["accuracy"]["max_abs"] == runs[1]["accuracy"]["max_abs"]  # integers are exact
    fast, slow = sorted(runs, key=lambda run: run["time_s"])
    assert f"{fast['chip']} is {slow['time_s'] / fast['time_s']:.2f}x as fast" in lines[-2]


@pytest.mark.parametrize("chip", ["lpu-tiny", "npu-tiny"])
def test_every_column_of_the_account_sums_to_100(chip) -> None:
    report = presil.run("matmul", chip=chip, dtype="int8", mode="timing", m=3, n=5, k=40)
    shares = comparison.shares(advice.critical_unit(report.result), report.cycles)
    assert sum(shares.values()) == pytest.approx(100.0)
    assert {"busy", "idle"} <= set(shares)


def test_a_default_shape_is_the_first_ones(call) -> None:
    outcome = call("compare", "matmul", *TWO, "--dtype", "int8", "--timing", "--set", "m=2",
                   "--set", "k=32", "--json", "-")  # fmt: skip
    runs = json.loads(outcome.stdout)["runs"]
    assert runs[0]["shape"]["n"] == runs[1]["shape"]["n"]


def test_several_programs(call) -> None:
    outcome = call("compare", "programs/lpu/saxpy.s", "programs/lpu/row_sum.s", "--timing")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.splitlines()[2].split() == ["saxpy.s", "row_sum.s"]


def test_given_arrays_go_to_all(call, tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 40), np.float32))
    np.save(tmp_path / "b.npy", np.ones((40, 3), np.float32))
    files = ("--in", f"a={tmp_path / 'a.npy'}", "--in", f"b={tmp_path / 'b.npy'}")
    outcome = call("compare", "matmul", *TWO, "--dtype", "int8", *files)
    assert "a b given" in outcome.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("matmul", "--chip", "lpu-tiny"), "compare takes two runs or more"),
        (("matmul", "--chip", "lpu-tiny", "--chip", "lpu-tinny"), "lpu-tinny"),
        (("matmul", "--chip", "lpu-tiny", "--chip", "npu-tiny", "--dtype", "e9m9"), "e9m9"),
        ((), "Examples:"),
    ],
)
def test_wrong_usage(call, words, text) -> None:
    outcome = call("compare", *words)
    assert outcome.exit_code == 2
    assert text in outcome.stderr
    assert outcome.stdout == ""
