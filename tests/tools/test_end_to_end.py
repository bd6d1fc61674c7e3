"""The whole way with the real engine: command line and Python, kernels and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import presil
from isa.elf import write_elf
from tools.problem import Problem, ProgramFault

SMALL = {"chip": "lpu-tiny", "dtype": "int8", "m": 3, "n": 5, "k": 70}

# y = x through s0.e .. s3.e (one per byte), m = n the other way round.
COPY = """\
.chip lpu-tiny
.tensor x, fp32, [4, 32], in, at=w0:0
.tensor n, int8, [4, 32], in, at=e3:8
.tensor y, fp32, [4, 32], out, at=e0:0
.tensor m, int8, [4, 32], out, at=e1:16
.macro lane name, cycle
.queue mem.w\\name.read
    read s\\name.e, 0
    repeat 3, 1, 1
.queue mem.e\\name.write
@\\cycle write 0, s\\name.e
    repeat 3, 1, 1
.endm
    lane 0, 7
    lane 1, 7
    lane 2, 9
    lane 3, 9
.queue mem.e3.read
@25 read s9.w, 8
    repeat 3, 1, 1
.queue mem.e1.write
@31 write 16, s9.w
    repeat 3, 1, 1
"""
LATE = COPY.replace("lane 0, 7", "lane 0, 8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "copy.s"
    path.write_text(COPY)
    return path


def test_integers_are_exact_from_the_command_line(call, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(-128, 128, (3, 70)).astype(np.int8)
    b = rng.integers(-128, 128, (70, 5)).astype(np.int8)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    outcome = call("run", "matmul", "--chip", "lpu-tiny", "--dtype", "int8", "--check",
                   *(f"--in={n}={tmp_path / n}.npy" for n in "ab"),
                   "--out", f"c={tmp_path / 'c.npy'}")  # fmt: skip
    assert outcome.exit_code == 0, outcome.stderr
    assert "every integer equal: yes" in outcome.stdout
    assert (np.load(tmp_path / "c.npy") == a.astype(np.int32) @ b.astype(np.int32)).all()


def test_timing_counts_the_same_cycles_as_values() -> None:
    full, timing = (presil.run("matmul", mode=mode, **SMALL) for mode in ("full", "timing"))
    assert full.cycles == timing.cycles
    assert timing.outputs == {}
    assert timing.accuracy is None
    assert full.accuracy is not None
    assert full.accuracy.within


def test_python_and_command_line_agree(call) -> None:
    words = (
        "--chip",
        "lpu-tiny",
        "--dtype",
        "int8",
        "--set",
        "m=3",
        "--set",
        "n=5",
        "--set",
        "k=70",
    )
    printed = json.loads(call("run", "matmul", *words, "--json", "-").stdout)
    computed = json.loads(presil.run("matmul", **SMALL).to_json())
    del printed["host"], computed["host"]
    assert printed == computed


def test_every_unit_is_accounted_for() -> None:
    for kernel in presil.kernels("lpu"):
        report = presil.run("matmul", **SMALL) if kernel == "matmul" else presil.run(kernel)
        for unit in report.record().units:
            assert unit.busy + sum(unit.waits.values()) + unit.idle == report.cycles * unit.count


def test_a_chip_value_changes_the_time() -> None:
    base = presil.run("matmul", mode="timing", **SMALL)
    fast = presil.run("matmul", mode="timing", overrides={"clock": "2 GHz"}, **SMALL)
    assert (fast.cycles, fast.time_s) == (base.cycles, base.time_s / 2)
    chip = presil.load_chip("lpu-tiny", {"clock": "2 GHz"})
    assert presil.run("matmul", mode="timing", **{**SMALL, "chip": chip}).time_s == fast.time_s
    with pytest.raises(Problem, match="not with a loaded chip"):
        presil.run("matmul", overrides={"clock": "1 GHz"}, **{**SMALL, "chip": chip})


def test_arrays_from_python_are_inputs() -> None:
    a = np.eye(4, dtype=np.float32)
    b = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
    report = presil.run("matmul", chip="lpu-tiny", dtype="bf16", a=a, b=b)
    assert (report.outputs["c"] == b).all()
    assert report.shape == {"m": 4, "n": 3, "k": 4}
    assert report.data == "a b given"


def test_one_missing_array_is_named() -> None:
    with pytest.raises(Problem, match="'b' is missing"):
        presil.run("matmul", chip="lpu-tiny", a=np.eye(4, dtype=np.float32))


def test_report_shows_itself() -> None:
    report = presil.run("matmul", **SMALL)
    assert repr(report).startswith("matmul  lpu-tiny  int8  seed 0")
    assert report._repr_html_().startswith("<table>")


def test_facade_lists_and_loads() -> None:
    assert "lpu-lp30" in presil.chips()
    assert {"attention", "matmul"} <= set(presil.kernels())
    assert presil.load_chip("lpu-tsp1").lanes == 320
    assert presil.__version__
    with pytest.raises(AttributeError):
        _ = presil.nothing


def test_attention_on_real_tensors_passes_the_rule() -> None:
    report = presil.run("attention", dtype="e4m3")
    assert report.data == "real tensors"
    assert report.accuracy is not None
    assert report.accuracy.within
    assert 0.1 < report.accuracy.naive_max_abs < 0.3


# ---- program files -----------------------------------------------------------------------------


def test_a_file_runs_on_seeded_data(call, copy: Path, tmp_path: Path) -> None:
    y, m = tmp_path / "y.npy", tmp_path / "m.npy"
    outcome = call("run", copy, "--out", f"y={y}", "--out", f"m={m}", "--seed", "3")
    assert outcome.exit_code == 0, outcome.stderr
    assert "Outputs" in outcome.stdout
    assert (np.load(y).dtype, np.load(m).dtype) == (np.float32, np.int8)
    other = call("run", copy, "--json", "-", "--seed", "4")
    assert json.loads(other.stdout)["shape"]["x"] == [4, 32]


def test_arrays_go_through_a_file_program(call, copy: Path, tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 128, dtype=np.float32).reshape(4, 32)
    n = np.linspace(-2, 2, 128, dtype=np.float32).reshape(4, 32)
    for name, array in (("x", x), ("n", n)):
        np.save(tmp_path / f"{name}.npy", array)
    outcome = call("run", copy, "--json", "-", *(f"--in={i}={tmp_path / i}.npy" for i in "xn"),
                   *(f"--out={o}={tmp_path / o}.npy" for o in "ym"))  # fmt: skip
    assert outcome.exit_code == 0, outcome.stderr
    scale = json.loads(outcome.stdout)["scales"]["n"]
    assert (np.load(tmp_path / "y.npy") == x).all()
    assert np.abs(np.load(tmp_path / "m.npy") * scale - n).max() <= scale / 2 * 1.001


def test_text_object_and_program_give_the_same(call, copy: Path, tmp_path: Path) -> None:
    program = presil.assemble(COPY)
    path = tmp_path / "copy.o"
    path.write_bytes(write_elf(program))
    reports = [presil.run(target) for target in (program, str(copy), str(path))]
    assert len({r.program.sha256 for r in reports}) == 1
    assert len({r.cycles for r in reports}) == 1
    assert len({r.outputs["y"].tobytes() for r in reports}) == 1


def test_a_late_write_is_a_hazard_at_its_line(call, tmp_path: Path) -> None:
    path = tmp_path / "late.s"
    path.write_text(LATE)
    outcome = call("run", path)
    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    assert "late.s:" in outcome.stderr
    assert "[operand]" in outcome.stderr
    warned = call("run", path, "--hazards", "warn")
    assert warned.exit_code == 0
    assert "error:" in warned.stderr
    with pytest.raises(ProgramFault, match="operand") as caught:
        presil.run(presil.assemble(LATE))
    assert [fault.kind for fault in caught.value.faults] == ["operand"]


def test_cycles_of_a_file_show_its_lines(call, copy: Path) -> None:
    page = call("cycles", copy, "--all").stdout
    assert "copy.s:" in page
    picture = call("cycles", copy, "--timeline", "0:38").stdout
    row = next(line for line in picture.splitlines() if "mem.e3.read" in line)
    assert row.split()[-1] == "." * 25 + "RRRR" + "." * 9
