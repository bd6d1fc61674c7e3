"""The command line with a machine made by hand: names, files, exit codes, diagnostics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.tools.samples import make_result
from tools import cli, machines
from tools.verbs import common

SMALL = ("--chip", "lpu-tiny", "--dtype", "int8", "--set", "m=2", "--set", "n=3", "--set", "k=4")


class FakeHazardError(Exception):
    def __init__(self, hazards) -> None:
        self.hazards = tuple(hazards)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """A machine that multiplies with numpy; `fail` is what it raises, `hazards` what it finds."""
    state = SimpleNamespace(fail=None, calls=[], hazards=[])

    class Machine:
        def __init__(self, chip) -> None:
            self.chip = chip

        def run(self, program, tensors, mode, hazards, accumulate=None):
            state.calls.append((mode, hazards, dict(tensors)))
            if state.fail is not None:
                raise state.fail
            outputs = {}
            if mode == "full":
                a, b = tensors["a"].astype(np.int32), tensors["b"].astype(np.int32)
                outputs = {"c": a @ b}
            return make_result(mode=mode, outputs=outputs, hazards=state.hazards)

    fake = SimpleNamespace(Machine=Machine, HazardError=FakeHazardError)
    monkeypatch.setattr(machines, "machine", lambda chip: fake)
    return state


def assert_diagnostic(outcome, code: int, *parts: str) -> None:
    assert outcome.exit_code == code, outcome.stderr
    assert outcome.stdout == ""
    first = outcome.stderr.splitlines()[0]
    assert ": error: " in first or ": internal error: " in first
    for part in parts:
        assert part in outcome.stderr
    assert "Traceback" not in outcome.stderr


# ---- the group ---------------------------------------------------------------------------------


def test_help_lists_exactly_the_verbs_that_work(call) -> None:
    text = call("--help").stdout
    section = text[text.index("Verbs:") :].split("\n\n")[0]
    assert [line.split()[0] for line in section.splitlines()[1:]] == list(cli.VERBS)
    for verb in cli.VERBS:
        assert call(verb, "--help").exit_code == 0


def test_no_verb_prints_the_help(call) -> None:
    outcome = call()
    assert outcome.exit_code == 0
    assert "Verbs:" in outcome.stdout


@pytest.mark.parametrize("verb", ["run", "cycles"])
def test_verb_without_target_shows_two_examples(call, verb: str) -> None:
    outcome = call(verb)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert outcome.stderr.count(f"  presil {verb} ") == 2


def test_unknown_verb(call) -> None:
    assert_diagnostic(call("rnu"), 2, "no verb 'rnu'", "did you mean 'run'?")
    assert_diagnostic(call("zzz"), 2, "verbs: run, cycles")


def test_unknown_option(call) -> None:
    assert_diagnostic(call("run", "matmul", "--sed", "1"), 2, "--sed", "did you mean '--seed'?")


def test_help_is_fast() -> None:
    """No verb's libraries are loaded for the help; numpy alone would double its time."""
    code = (
        "import sys\nfrom tools.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "slow = {'numpy', 'rich', 'pydantic'} & set(sys.modules)\nassert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cli_root(), capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


def cli_root() -> Path:
    return Path(cli.__file__).resolve().parent.parent


# ---- names and values --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run", "matmull"], ["no kernel 'matmull'", "did you mean 'matmul'?"]),
        (["run", "nothere.s"], ["no file 'nothere.s'"]),
        (["run", "matmul", "--chip", "lpu-tny"], ["no chip 'lpu-tny'", "did you mean 'lpu-tiny'?"]),
        (["run", "matmul", "--set", "q=1"], ["no parameter 'q'"]),
        (["run", "matmul", "--set", "m"], ["--set m: write it as --set name=value"]),
        (["run", "matmul", "--set", "m=1", "--set", "m=2"], ["--set m: given twice"]),
        (["run", "matmul", "--set", "m=0"], ["m is at least 1"]),
        (["run", "matmul", "--with", "mem.slces=4"], ["did you mean 'mem.slices'?"]),
        (["run", "matmul", "--with", "clock=fast"], ["clock", "is no frequency"]),
        (["run", "matmul", "--dtype", "int9"], ["does not take dtype", "did you mean 'int8'?"]),
        (["run", "matmul", "--in", "x=y.npy"], ["--in x: no file 'y.npy'"]),
        (["run", "matmul", "--out", "d=d.npy"], ["no output 'd'", "outputs: c"]),
        (["run", "matmul", "--out", "c=no/such/c.npy"], ["there is no directory 'no/such'"]),
        (["run", "matmul", "--json", "."], ["'.' is a directory"]),
        (["run", "matmul", "--out", "c=x", "--json", "x"], ["already written by --out c"]),
        (["run", "matmul", "--seed", "x"], ["'x' is not a valid int"]),
        (["run", "matmul", "--hazards", "ignore"], ["'ignore' is not one of"]),
        (["run", "matmul", "--warm-l2"], ["--warm-l2: lpu-lp30 has no L2", "npu-950pr"]),
        (["cycles", "matmul", "--out", "c=c.npy"], ["cycles computes no values"]),
        (["cycles", "matmul", "--section", "waist"], ["did you mean 'waits'?"]),
        (["cycles", "matmul", "--timeline", "9"], ["no range of cycles"]),
        (["kernels", "matmlu"], ["did you mean 'matmul'?"]),
        (["chips", "lpu-tsp"], ["did you mean 'lpu-tsp1'?"]),
    ],
)  # fmt: skip
def test_wrong_usage_exits_2_before_the_run(
    call, machine, words: list[str], parts: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert_diagnostic(call(*words), 2, *parts)
    assert machine.calls == []
    assert list(tmp_path.iterdir()) == []


def test_inputs_by_name_are_checked_first(call, machine, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 4), np.float32))
    outcome = call("run", "matmul", *SMALL, "--in", f"x={tmp_path / 'x.npy'}")
    assert_diagnostic(outcome, 2, "matmul has no input 'x'", "inputs: a, b")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_array(call, machine, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    outcome = call("run", "matmul", "--in", f"a={tmp_path / 'a.npy'}")
    assert_diagnostic(outcome, 2, "is no .npy array")


def test_several_arrays_or_text_are_refused(call, machine, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", c=np.zeros(3), d=np.zeros(3))
    np.save(tmp_path / "t.npy", np.array(["x"]))
    for name, part in (
        ("a.npz", "holds 2 arrays, none called 'a'"),
        ("t.npy", "floats or integers are needed"),
    ):
        assert_diagnostic(call("run", "matmul", "--in", f"a={tmp_path / name}"), 2, part)


# ---- a run -------------------------------------------------------------------------------------


def test_run_prints_the_page_and_nothing_on_stderr(call, machine) -> None:
    outcome = call("run", "matmul", *SMALL)
    assert outcome.exit_code == 0
    assert outcome.stderr == ""
    assert outcome.stdout.startswith("matmul  lpu-tiny  int8  seed 0\n  m=2  n=3  k=4\n")
    assert "max error <= 2 x naive: yes" in outcome.stdout
    assert machine.calls[0][:2] == ("full", "error")


def test_json_on_stdout_is_one_document(call, machine) -> None:
    outcome = call("run", "matmul", *SMALL, "--json", "-", "--seed", "5")
    data = json.loads(outcome.stdout)
    assert (data["kernel"], data["chip"], data["seed"]) == ("matmul", "lpu-tiny", 5)
    assert data["shape"] == {"m": 2, "n": 3, "k": 4}
    assert set(data["scales"]) == {"a", "b"}
    assert outcome.stderr == ""


def test_files_are_written_whole(call, machine, tmp_path: Path) -> None:
    c, report = tmp_path / "c.npy", tmp_path / "r.json"
    outcome = call("run", "matmul", *SMALL, "--out", f"c={c}", "--json", report)
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("matmul")
    assert np.load(c).dtype == np.int32
    assert json.loads(report.read_text())["mode"] == "full"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.npy", "r.json"]
    assert c.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_integer_codes_in_must_come_out_exact(call, machine, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.integers(-128, 128, (2, 4)).astype(np.int8))
    np.save(tmp_path / "b.npy", rng.integers(-128, 128, (4, 3)).astype(np.int8))
    files = [f"{name}={tmp_path / name}.npy" for name in "ab"]
    words = ("--chip", "lpu-tiny", "--dtype", "int8", "--check")
    outcome = call("run", "matmul", *words, "--in", files[0], "--in", files[1])
    assert outcome.exit_code == 0, outcome.stderr
    assert "every integer equal: yes" in outcome.stdout


def test_same_command_same_json(call, machine) -> None:
    first, second = (
        json.loads(call("run", "matmul", *SMALL, "--json", "-").stdout) for _ in range(2)
    )
    del first["host"], second["host"]
    assert first == second


def test_cycles_computes_no_values(call, machine) -> None:
    outcome = call("cycles", "matmul", *SMALL, "--json", "-")
    data = json.loads(outcome.stdout)
    assert machine.calls == [("timing", "error", {})]
    assert (data["mode"], data["accuracy"]) == ("timing", None)


def test_failed_check_exits_1(call, machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from programs.registry import find

    kernel = type(find("matmul", "lpu"))
    monkeypatch.setattr(kernel, "reference", lambda self, p, a: {"c": np.full((2, 3), 1e6)})
    monkeypatch.setattr(kernel, "naive_of", lambda self, d, p, a, e: {"c": np.full((2, 3), 1e6)})
    outcome = call("run", "matmul", *SMALL)
    assert outcome.exit_code == 0
    assert "max error <= 2 x naive: NO" in outcome.stdout
    checked = call("run", "matmul", *SMALL, "--check")
    assert checked.exit_code == 1
    assert "matmul: error: c: max error" in checked.stderr
    assert "[check]" in checked.stderr


def test_accuracy_is_left_out_above_the_limit(call, machine, monkeypatch) -> None:
    from programs.registry import find

    monkeypatch.setattr(type(find("matmul", "lpu")), "macs", lambda self, p: (1 << 30) + 1)
    plain = json.loads(call("run", "matmul", *SMALL, "--json", "-").stdout)
    checked = json.loads(call("run", "matmul", *SMALL, "--check", "--json", "-").stdout)
    assert plain["accuracy"] is None
    assert checked["accuracy"]["within"] is True


# ---- failures ----------------------------------------------------------------------------------


def test_hazards_are_diagnostics_and_exit_1(call, machine, hazard, tmp_path: Path) -> None:
    machine.fail = FakeHazardError([hazard])
    out = tmp_path / "c.npy"
    outcome = call("run", "matmul", *SMALL, "--out", f"c={out}", "--json", "-")
    assert_diagnostic(outcome, 1, "nothing is on the stream", "cycle 12", "3 times", "[operand]",
                      "note: the other instruction", "1 error")  # fmt: skip
    assert not out.exists()


def test_warned_hazards_go_to_stderr(call, machine, hazard) -> None:
    machine.hazards = [hazard]
    outcome = call("run", "matmul", *SMALL, "--hazards", "warn", "--json", "-")
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout)["hazards"][0]["count"] == 3
    assert "nothing is on the stream" in outcome.stderr
    assert machine.calls[0][1] == "warn"


def test_many_hazards_are_counted(call, machine, hazard) -> None:
    machine.fail = FakeHazardError([hazard] * 50)
    outcome = call("run", "matmul", *SMALL)
    assert "... and 30 more" in outcome.stderr
    assert outcome.stderr.rstrip().endswith("50 errors")


def test_internal_error_asks_for_a_report_with_the_seed(call, machine, monkeypatch) -> None:
    machine.fail = RuntimeError("a cog broke")
    outcome = call("run", "matmul", *SMALL, "--seed", "41")
    assert_diagnostic(outcome, 3, "RuntimeError: a cog broke", "please report", "seed (41)")
    monkeypatch.setenv("PRESIL_TRACEBACK", "1")
    assert "Traceback" in call("run", "matmul", *SMALL).stderr


def test_interrupt_exits_130(call, machine) -> None:
    machine.fail = KeyboardInterrupt()
    outcome = call("run", "matmul", *SMALL)
    assert outcome.exit_code == 130
    assert outcome.stderr.strip() == "presil: interrupted"


def test_a_write_that_fails_leaves_nothing(call, machine, tmp_path, monkeypatch) -> None:
    def full(*args, **options):
        raise OSError(28, "No space left on device", "c.npy")

    monkeypatch.setattr(np, "save", full)
    out = tmp_path / "c.npy"
    outcome = call("run", "matmul", *SMALL, "--out", f"c={out}")
    assert_diagnostic(outcome, 2, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_no_error() -> None:
    code = "from tools.cli import main\nmain(['chips', 'lpu-tiny'])"
    shell = f'{sys.executable} -c "{code}" | head -n 1'
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], cwd=cli_root(),
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""


# ---- chips, kernels, disasm --word -------------------------------------------------------------


def test_chips_lists_and_explains(call) -> None:
    listed = call("chips").stdout
    for name in ("lpu-lp30", "lpu-tiny", "lpu-tsp1"):
        assert name in listed
    page = call("chips", "lpu-tsp1").stdout
    assert "900 MHz" in page
    assert "published" in page
    assert "[TSP20] Abts et al." in page
    assert max(map(len, page.splitlines())) <= 100


def test_chips_json_has_every_value_with_status(call) -> None:
    data = json.loads(call("chips", "lpu-lp30", "--json", "-").stdout)
    assert data["extends"] == "lpu-tsp1"
    assert {value["status"] for value in data["values"]} == {
        "published", "derived", "calibrated", "assumed"
    }  # fmt: skip
    assert "lpu-lp30" in json.loads(call("chips", "--json", "-").stdout)["chips"][0]["name"]


def test_kernels_lists_and_explains(call) -> None:
    assert "matmul" in call("kernels").stdout
    page = call("kernels", "matmul").stdout
    for part in ("--set", "--in", "--out", "--dtype", "lpu-tsp1  int8 fp16"):
        assert part in page
    data = json.loads(call("kernels", "matmul", "--json", "-").stdout)
    assert data["kernels"][0]["dtypes"]["lpu-tsp1"] == ["int8", "fp16"]


def test_disasm_explains_a_word(call) -> None:
    outcome = call("disasm", "--word", "0x10")
    assert outcome.exit_code == 0
    assert "read s0.e, 0" in outcome.stdout
    assert "opcode   read" in outcome.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--word", "xyz"], 2), (["--word", "0x" + "1" * 33], 2), (["--word", "0xff"], 1), ([], 2),
     (["--word", "10", "file.o"], 2), (["--word", "10", "--isa", "gpu"], 2)],
)  # fmt: skip
def test_disasm_refuses(call, words: list[str], code: int) -> None:
    assert_diagnostic(call("disasm", *words), code)


def test_progress_is_silent_without_a_terminal(call, machine, monkeypatch) -> None:
    monkeypatch.setattr(common, "execute", slow(common.execute))
    monkeypatch.setattr("tools.progress.PATIENCE_S", 0.01)
    assert call("run", "matmul", *SMALL).stderr == ""


def slow(function):
    def wrapped(*args):
        time.sleep(0.05)
        return function(*args)

    return wrapped
