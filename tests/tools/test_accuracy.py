"""Measures of error, the accuracy table and its files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import presil
from tools.accuracy import measure
from tools.accuracytable import AccuracyTable
from tools.arrayfiles import read_array
from tools.errors import Errors, ratio
from tools.problem import Problem
from tools.tensors import clipped

ROW_FIELDS = "dtype accumulate cycles scale scales accuracy"


@pytest.fixture(scope="module")
def small() -> AccuracyTable:
    return presil.accuracy("matmul", "lpu-tiny", ["fp16", "int8"], m=5, n=6, k=70)


# ---- measures -----------------------------------------------------------------------------------


def errors(values: list[float], wanted: list[float]) -> Errors:
    return Errors(np.array(values), np.array(wanted))


def test_measures_of_a_small_case() -> None:
    e = errors([1.5, -2.0, 4.0], [1.0, -2.0, 5.0])
    assert (e.max_abs, e.mean_abs) == (1.0, 0.5)
    assert e.bias == pytest.approx(-0.5 / 3)
    assert e.rmse == pytest.approx(np.sqrt(1.25 / 3))
    assert e.max_rel == pytest.approx(0.5)
    assert e.sqnr_db == pytest.approx(10 * np.log10(30 / 1.25))
    product, x, y = 1.5 + 4 + 20, 30.0, 2.25 + 4 + 16
    assert e.cosine == pytest.approx(product / np.sqrt(x * y))
    assert e.calc_diff == pytest.approx(1 - 2 * product / (x + y))
    assert e.mare == pytest.approx(0.5, rel=1e-6)
    assert e.mere == pytest.approx(0.7 / 3, rel=1e-6)


def test_ulps_are_those_of_float32() -> None:
    x = np.array([1.0, 3.0, -100.0], np.float32)
    e = Errors(np.nextafter(x, np.float32(1e9)).astype(np.float64), x.astype(np.float64))
    assert e.max_ulp == e.mean_ulp == 1.0
    assert Errors(np.array([6.0]), np.array([4.0]), ulp=0.5).max_ulp == 4.0


def test_tiny_references_do_not_drown_relative_measures() -> None:
    e = errors([1e-9, 1000.0], [0.0, 1000.0])
    assert e.max_rel == pytest.approx(1e-9 / (1000 / np.sqrt(2) / 1000))


def test_no_error_and_no_finite_error() -> None:
    e = errors([1.0, 2.0], [1.0, 2.0])
    assert (e.max_abs, e.calc_diff, e.sqnr_db, e.cosine) == (0, 0, None, pytest.approx(1))
    with np.errstate(invalid="ignore"):
        e = errors([1.0, float("nan")], [1.0, 2.0])
        assert (e.max_abs, e.rmse, e.cosine, e.max_ulp, e.nonfinite) == (None,) * 4 + (1,)
    e = errors([float("inf"), 1.0], [float("inf"), 1.0])
    assert (e.max_abs, e.nonfinite) == (0.0, 0)


def test_rows_as_distributions() -> None:
    p, q = np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([[0.5, 0.5], [0.8, 0.2]])
    e = Errors(q, p)
    assert e.row_divergence == pytest.approx(0.9 * np.log(0.9 / 0.8) + 0.1 * np.log(0.1 / 0.2))
    assert e.row_sum_error == pytest.approx(0)
    assert Errors(2 * p, p).row_divergence == pytest.approx(1 - np.log(2))
    assert Errors(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])).row_divergence == 0


def test_ratio() -> None:
    assert [ratio(2.0, 4.0), ratio(0.0, 0.0), ratio(1.0, 0.0), ratio(None, 1.0)] == [
        0.5, 1.0, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("factor", "within", "catlass"), [(1.4, True, True), (1.6, True, False), (2.1, False, False)]
)
def test_the_two_rules(factor: float, within: bool, catlass: bool) -> None:
    """All errors `factor` times naive's: FlashAttention allows 2, CATLASS's mean and RMSE 1.5."""
    wanted = np.linspace(1, 2, 50)
    item = measure(
        {"y": (wanted + factor * 1e-3).astype(np.float32)},
        {"y": wanted},
        {"y": (wanted + 1e-3).astype(np.float32)},
        {},
        False,
    )
    assert item is not None
    assert (item.within, item.catlass) == (within, catlass)
    assert item.mere_ratio == pytest.approx(factor, rel=1e-3)


def test_scales_may_be_arrays() -> None:
    scale = np.array([[0.5], [2.0]])
    item = measure(
        {"c": np.array([[2, 4], [1, 1]], np.int32)}, {"c": np.array([[1.0, 2.0], [2.0, 2.0]])},
        None, {"c": scale}, False,
    )  # fmt: skip
    assert item is not None
    assert item.max_abs == 0


def test_clipped_counts_what_the_format_cannot_hold() -> None:
    x = np.array([[448.0, 449.0, -1e6, 1.0]], np.float32)
    assert clipped("e4m3", {"x": 1}, {"x": x}) == 2
    assert clipped("bf16", {"x": 1}, {"x": x}) == 0
    assert clipped("int8", {"x": 1}, {"x": x}) == 0
    # FLOOR: amax 7 of a block gives scale 1, so that 7 becomes 6; amax 8 gives 2, and 12 fits.
    assert clipped("mxfp4", {"x": 1}, {"x": np.array([[7.0, 6.5, 6.0, 1.0]])}) == 2
    assert clipped("mxfp4", {"x": 1}, {"x": np.array([[8.0, 6.5, 6.0, 1.0]])}) == 0
    assert clipped("e4m3", {"x": 1}, {"x": np.array([[0x7E]], np.uint8)}) == 0  # codes are codes


def test_clipped_takes_scales_that_are_chosen_already() -> None:
    x = np.array([[7.0, 6.5, 6.0, 1.0]], np.float32)
    chosen = {"x.scale": np.array([[126]], np.uint8)}  # 1/2: the limit is 3
    assert clipped("mxfp4", {"x": 1}, {"x": x}, None, chosen) == 3
    chosen = {"x.scale": np.array([[126], [126]], np.uint8)}  # not those of x
    assert clipped("mxfp4", {"x": 1}, {"x": x}, None, chosen) == 2


def test_clipped_where_the_limit_is_beyond_float32() -> None:
    x = np.array([[3e38, 1.0, -3.4e38]], np.float32)
    assert clipped("mxfp8", {"x": 1}, {"x": x}) == 2  # 448 x 2^119
    assert clipped("mxfp8", {"x": 1}, {"x": x}, "rceil") == 0  # 448 x 2^120
    assert clipped("nvfp4", {"x": 1}, {"x": np.full((1, 5), 2.0, np.float32)}) == 0


# ---- the table ----------------------------------------------------------------------------------


def test_rows_are_in_the_order_asked_for(small: AccuracyTable) -> None:
    assert [row.report.dtype for row in small.rows] == ["fp16", "int8"]
    a, b = (row.accuracy for row in small.rows)
    assert a.max_abs < b.max_abs  # type: ignore[operator]
    assert (a.within, b.within, a.catlass) == (True, True, True)
    for row in small.rows:
        assert np.abs(row.errors).max() == row.accuracy.max_abs


def test_a_row_equals_a_run_of_its_own(small: AccuracyTable) -> None:
    run = presil.run("matmul", "lpu-tiny", "int8", m=5, n=6, k=70)
    assert run.accuracy == small.rows[1].accuracy
    assert run.cycles == small.rows[1].report.cycles


def test_text_and_html(small: AccuracyTable) -> None:
    text = repr(small)
    assert all(len(line) <= 100 for line in text.splitlines())
    for part in ("Errors", "SQNR dB", "CATLASS", "int8", "m=5"):
        assert part in text
    html = small._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") == 3


def test_json_is_pinned(small: AccuracyTable) -> None:
    data = json.loads(small.to_json())
    assert list(data) == ["schema", "kernel", "chip", "shape", "data", "seed", "rows"]
    assert list(data["rows"][0]) == ROW_FIELDS.split()
    assert data["rows"][1]["scales"].keys() == {"a", "b"}
    assert data["rows"][0]["accuracy"]["catlass"] is True


def test_integers_and_distributions_show_what_applies() -> None:
    a = np.arange(12, dtype=np.int8).reshape(3, 4)
    text = repr(presil.accuracy("matmul", "lpu-tiny", "int8", a=a, b=a.T.copy()))
    assert "every one equal" in text
    assert "CATLASS" not in text
    found = presil.accuracy("softmax", "lpu-tiny", "fp32", rows=3, cols=40)
    item = found.rows[0].accuracy
    assert item.softmax_kl is not None
    assert 0 <= item.softmax_kl < 1e-9
    assert item.row_sum_error is not None
    assert item.row_sum_error < 1e-5
    assert "softmax KL" in repr(found)


def test_not_finite_results_are_counted() -> None:
    x = np.full((2, 40), 3e38, np.float32)
    item = presil.run("matmul", "lpu-tiny", "fp16", a=x, b=np.full((40, 2), 3e38, "f4")).accuracy
    assert item is not None
    assert item.saturated == 160
    assert item.within is not None


# ---- the verb -----------------------------------------------------------------------------------

SMALL = ("--chip", "lpu-tiny", "--set", "m=4", "--set", "n=4", "--set", "k=40")


def test_the_verb_prints_one_table(call) -> None:
    outcome = call("accuracy", "matmul", *SMALL, "--dtype", "int8,fp16")
    assert outcome.exit_code == 0
    assert outcome.stdout.count("fp16") == 3
    assert "max <= 2x naive" in outcome.stdout


def test_without_dtype_all_formats_of_the_chip(call) -> None:
    outcome = call("accuracy", "matmul", *SMALL, "--json", "-")
    data = json.loads(outcome.stdout)
    chip = presil.load_chip("lpu-tiny")
    assert [row["dtype"] for row in data["rows"]] == list(chip.mxm.modes)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--dtype", "int8,fp17"], "did you mean 'fp16'?"),
        (["--dtype", "int8,int8"], "'int8' twice"),
        (["--dtype", "int8,"], "names with commas between them"),
        (["--plot", "errors.pdf"], "ends in neither .png nor .svg"),
        (["--plot", "nowhere/errors.svg"], "there is no directory 'nowhere'"),
        (["--in", "a=none.npz"], "no file 'none.npz'"),
    ],
)
def test_wrong_usage(call, words: list[str], part: str) -> None:
    outcome = call("accuracy", "matmul", *SMALL, *words)
    assert outcome.exit_code == 2
    assert part in outcome.stderr
    assert "Traceback" not in outcome.output


def test_files_have_no_reference(call, tmp_path: Path) -> None:
    program = tmp_path / "empty.s"
    program.write_text(".chip lpu-tiny\n")
    outcome = call("accuracy", program)
    assert outcome.exit_code == 2
    assert "accuracy takes kernels" in outcome.stderr


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plot(call, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    paths = [tmp_path / f"{i}.{suffix}" for i in range(2)]
    for path in paths:
        call("accuracy", "matmul", *SMALL, "--dtype", "int8,fp16", "--plot", path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith(b"\x89PNG" if suffix == "png" else b"<?xml")
    if suffix == "svg":
        assert b"absolute error" in first or b"<path" in first


def test_matplotlib_is_loaded_only_to_plot() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from tools.cli import main\n"
        f"r = CliRunner().invoke(main, ['accuracy', 'matmul', *{SMALL!r}, '--dtype', 'int8'])\n"
        "assert r.exit_code == 0, r.output\n"
        "assert not {'matplotlib', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- arrays from files --------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    from safetensors.numpy import save_file

    x = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    np.savez(tmp_path / "two.npz", q=x, k=2 * x)
    np.savez(tmp_path / "one.npz", other=x)
    np.save(tmp_path / "x.npy", x)
    save_file(
        {"q": x, "b": x.astype(ml_dtypes.bfloat16), "f": x.astype(ml_dtypes.float8_e4m3fn)},
        tmp_path / "m.safetensors",
    )
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04nothing")
    return tmp_path


def test_arrays_by_name_by_key_and_alone(files: Path) -> None:
    x = np.load(files / "x.npy")
    for path in ("x.npy", "two.npz", "two.npz:q", "one.npz", "m.safetensors", "m.safetensors:q"):
        assert np.array_equal(read_array("q", f"{files / path}"), x), path
    assert np.array_equal(read_array("q", f"{files / 'two.npz'}:k"), 2 * x)


def test_formats_of_safetensors_become_numbers(files: Path) -> None:
    import ml_dtypes

    x = np.load(files / "x.npy")
    for key, kind in (("b", ml_dtypes.bfloat16), ("f", ml_dtypes.float8_e4m3fn)):
        found = read_array("q", f"{files / 'm.safetensors'}:{key}")
        assert found.dtype == np.float32
        assert np.array_equal(found, x.astype(kind).astype(np.float32))


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("two.npz:kk", "did you mean 'k'?"),
        ("m.safetensors:z", "arrays: b, f, q"),
        ("bad.safetensors", "is no .safetensors file"),
        ("bad.npz", "is no .npz archive"),
        ("none.safetensors", "no file"),
    ],
)
def test_what_is_wrong_with_a_file(files: Path, path: str, part: str) -> None:
    with pytest.raises(Problem) as caught:
        read_array("q", f"{files / path}")
    assert part in str(caught.value)


def test_several_arrays_and_none_of_the_name(files: Path) -> None:
    with pytest.raises(Problem, match="none called 'v'") as caught:
        read_array("v", f"{files / 'two.npz'}")
    assert f"--in v={files / 'two.npz'}:q" in str(caught.value)


def test_arrays_of_archives_run(call, files: Path) -> None:
    outcome = call(
        "run", "matmul", "--chip", "lpu-tiny", "--dtype", "fp16", "--in", f"a={files}/two.npz:q",
        "--in", f"b={files}/x4.npy",
    )  # fmt: skip
    assert outcome.exit_code == 2
    np.save(files / "x4.npy", np.ones((4, 2), np.float32))
    outcome = call(
        "run", "matmul", "--chip", "lpu-tiny", "--dtype", "fp16", "--in", f"a={files}/two.npz:q",
        "--in", f"b={files}/x4.npy",
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
