"""``presil validate``: tables of measurements, what is wrong with one, errors and their summary."""

from __future__ import annotations

import json

import pytest

from tools.problem import ProgramFault
from tools.published import read_table, shipped
from tools.validation import validate

HEAD = "kernel,chip,dtype,m,n,k,time_us,cube.m_us,cycles,calibrated\n"


@pytest.fixture
def table(tmp_path):
    def write(*lines: str, head: str = HEAD):
        path = tmp_path / "mine.csv"
        path.write_text("# someone's figures\n" + head + "\n".join(lines) + "\n")
        return path

    return write


def test_every_shipped_row_names_a_kernel_a_chip_and_a_figure() -> None:
    rows = [row for path in shipped() for row in read_table(path)]
    assert len({row.where for row in rows}) == len(rows) > 0
    for row in rows:
        assert row.measures
        assert row.calibrated <= set(row.measures)


def test_a_table_of_ones_own(call, table, tmp_path) -> None:
    path = table("matmul,npu-tiny,int8,16,16,32,2.0,1.0,500,cycles",
                 "matmul,npu-tiny,fp16,16,16,32,2.0,,,")  # fmt: skip
    outcome = call("validate", path, "--json", tmp_path / "v.json")
    assert outcome.exit_code == 0, outcome.stderr
    data = json.loads((tmp_path / "v.json").read_text())
    assert [row["measure"] for row in data["rows"]] == ["time_us", "cube.m_us", "cycles", "time_us"]
    time, unit, cycles, _ = data["rows"]
    assert time["error"] == pytest.approx(time["predicted"] / 2.0 - 1)
    assert unit["error"] == pytest.approx(unit["predicted"] / time["predicted"] - 1.0 / 2.0)
    assert [row["calibrated"] for row in data["rows"]] == [False, False, True, False]
    groups = {(s["group"], s["kind"]): s for s in data["summary"]}
    assert groups["not calibrated", "totals"]["count"] == 2
    assert groups["calibrated", "totals"]["worst"] == pytest.approx(cycles["error"])
    assert "int8 16x16x32" in outcome.stdout
    assert max(map(len, outcome.stdout.splitlines())) <= 100


def test_a_cell_of_several_values_is_their_mean(table) -> None:
    lines = ("matmul,npu-tiny,int8,16,16,32|64,,,9,", "matmul,npu-tiny,int8,16,16,32,,,9,",
             "matmul,npu-tiny,int8,16,16,64,,,9,")  # fmt: skip
    mean, first, second = (row.predicted for row in validate(read_table(table(*lines))).rows)
    assert mean == (first + second) / 2


def test_own_choice_is_shown_where_a_row_gives_the_builders(table) -> None:
    head = "kernel,chip,dtype,m,n,k,tile,cycles\n"
    lines = ("matmul,npu-tiny,int8,64,64,128,16x16x128,9", "matmul,npu-tiny,int8,64,64,128,,9")
    given, free = validate(read_table(table(*lines, head=head))).rows
    assert given.own_choice == free.predicted < given.predicted
    assert free.own_choice is None


def test_with_changes_the_chip(call, table) -> None:
    path = table("matmul,npu-tiny,int8,16,16,32,2.0,,,")
    slow = call("validate", path, "--chip", "npu-tiny", "--with", "launch=1ms")
    assert "1,00" in slow.stdout
    assert call("validate", path, "--with", "launch=1ms").exit_code == 2


@pytest.mark.parametrize(
    ("lines", "head", "messages"),
    [
        (["x"], "kernel,m\n", ["mine.csv:2: error: no column 'chip'", "no measured column"]),
        (["a,b,c"], "kernel,chip,cycles,cycles\n", ["two columns 'cycles'"]),
        (["matmul,npu-tiny,int8,1,1"], HEAD, ["mine.csv:3: error: 5 cells under 10 column names"]),
        (["matmul,npu-tiny,int8,1,1,1,abc,-1,1,"], HEAD,
         ["time_us is a positive number, not 'abc'", "cube.m_us is a positive number, not '-1'"]),
        (["matmul,npu-tiny,int8,1,1,1,,,1,time_us"], HEAD, ["calibrated names 'time_us', which"]),
        (["matmul,npu-tiny,9"], "kernel,chip,cube.m_us\n", ["cube.m_us is judged as a share"]),
        (["matmul,npu-tiny,9,m"], "kernel,chip,cycles,probe\n", ["probe is name=value, such as"]),
        ([",npu-tiny,int8,1,1,1,,,1,"], HEAD, ["mine.csv:3: error: no kernel"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said_all_at_once(table, lines, head, messages) -> None:
    with pytest.raises(ProgramFault) as error:
        read_table(table(*lines, head=head))
    for message in messages:
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--chip", "lpu-tsp2"), "did you mean 'lpu-tsp1'?"),
        (("--kernel", "lstn"), "did you mean 'lstm'?"),
        (("nowhere.csv",), "no file 'nowhere.csv'"),
        (("--kernel", "lstm", "--plot", "v.pdf"), "ends in neither .png nor .svg"),
    ],
)
def test_wrong_usage(call, words, message) -> None:
    outcome = call("validate", *words)
    assert outcome.exit_code == 2
    assert message in outcome.stderr


def test_a_unit_that_the_run_lacks_is_named(call, table) -> None:
    head = "kernel,chip,dtype,m,n,k,time_us,cube.x_us\n"
    outcome = call("validate", table("matmul,npu-tiny,int8,1,1,1,3,3", head=head))
    assert outcome.exit_code == 2
    assert "no unit 'cube.x'" in outcome.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("matmull,npu-tiny,8", "mine.csv:3: error: no kernel 'matmull'; did you mean 'matmul'?"),
        ("matmul,npu-tinny,8", "mine.csv:3: error: no chip 'npu-tinny'; did you mean 'npu-tiny'?"),
        ("lstm,npu-tiny,8", "mine.csv:3: error: the npu has no kernel 'lstm'"),
    ],
)
def test_a_row_that_cannot_run_is_named(call, table, line, message) -> None:
    outcome = call("validate", table(line, head="kernel,chip,cycles\n"))
    assert outcome.exit_code == 2
    assert message in outcome.stderr


def test_a_chain_that_the_kernel_does_not_count_is_named(call, table) -> None:
    path = table("matmul,npu-tiny,8,8,8,3", head="kernel,chip,m,n,k,chain_cycles\n")
    outcome = call("validate", path)
    assert outcome.exit_code == 2
    assert "matmul does not count chain_cycles" in outcome.stderr


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plot(call, tmp_path, suffix) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"v.{suffix}"
    assert call("validate", "--kernel", "lstm", "--plot", path).exit_code == 0
    assert path.stat().st_size > 1000


def test_sensitivity_finds_what_a_row_depends_on(table, monkeypatch) -> None:
    from tools import sensitivity

    head = "kernel,chip,dtype,m,n,k,cycles,probe\n"
    row = read_table(table("matmul,npu-tiny,int8,512,512,512,9,k=256", head=head))[0]
    assert row.probe == {"k": ("256",)}
    wanted = ("hbm.bandwidth", "simt.barrier", "l2.latency")
    entries = [e for e in sensitivity.entries("npu-tiny") if e.path in wanted]
    monkeypatch.setattr(sensitivity, "entries", lambda chip: entries)
    found = {effect.key: effect.elasticity for effect in sensitivity.effects([row])}
    assert found["hbm.bandwidth"] < 0 < found["l2.latency"]
    assert "simt.barrier" not in found
