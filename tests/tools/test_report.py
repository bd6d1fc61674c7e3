"""The pages: what they say, that they add up, and that they fit."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from emulator.result import UnitUse
from tests.tools.samples import make_report, make_result
from tools import advice
from tools.accuracy import measure
from tools.depth import SECTIONS, cycles_page
from tools.page import plain
from tools.problem import Problem
from tools.text import tenths
from tools.timeline import parse_range, timeline


def accuracy_of(result: list[float], reference: list[float], naive: list[float] | None = None):
    return measure(
        {"c": np.array(result, np.float32)},
        {"c": np.array(reference, np.float64)},
        None if naive is None else {"c": np.array(naive, np.float32)},
        {},
        False,
    )


def test_run_page_reads_top_down() -> None:
    text = repr(make_report(accuracy=accuracy_of([1.0, 2.0], [1.0, 2.1], [1.0, 2.2])))
    wanted = ("matmul  lpu-tiny  int8  seed 7", "100.0 ns at 1.000 GHz",
              "Speed of light", "Bound by mxm", "Units", "Cycles in %", "Memory",
              "Accuracy of c against float64", "max error <= 2 x naive: yes", "host")  # fmt: skip
    places = [text.index(part) for part in wanted]
    assert places == sorted(places)


def test_pages_are_plain_ascii_and_fit() -> None:
    report = make_report(shape={f"parameter{i}": 10**i for i in range(12)})
    for text in (repr(report), plain(cycles_page(report, everything=True, cycles=(0, 100)))):
        assert text.isascii()
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= 100


def test_shares_of_every_unit_sum_to_100() -> None:
    text = repr(make_report())
    block = text[text.index("Cycles in %") :].split("\n\n")[0].splitlines()
    rows = [[float(cell) for cell in line.split()[1:]] for line in block[1:]]
    *parts, total = rows
    assert total == [100.0, 100.0]
    assert [round(sum(column), 1) for column in zip(*parts, strict=True)] == total


@pytest.mark.parametrize("parts", [[1, 1, 1], [0, 0, 7], [5, 5, 5, 5, 5, 5, 5], [1, 999_999]])
def test_tenths_sum_to_100(parts: list[int]) -> None:
    assert round(sum(tenths(parts, sum(parts))), 1) == 100.0


def test_account_of_the_bound_unit() -> None:
    text = plain(cycles_page(make_report(), ["account"]))
    assert "Where the cycles of mxm went" in text
    assert re.search(r"wait operand +10 +10.0", text)
    assert re.search(r"total +100 +100.0", text)


def test_gains_are_computed_from_waits() -> None:
    gains = advice.gains(make_result())
    assert [(reason, lost) for _, reason, lost in gains] == [("operand", 10), ("weights", 5)]
    assert gains[0][0] == pytest.approx(100 / 90)


def test_a_gain_without_limit_is_said_in_words() -> None:
    unit = UnitUse("mxm.0", 1, 0, {"operand": 100}, 0)
    text = repr(make_report(result=make_result(units=[unit])))
    assert "up to all of it" in text


def test_bounds_of_the_lpu_have_a_sentence() -> None:
    for bound in ("mxm", "mxm.0", "vxm", "sxm.w", "mem.e", "stream", "sram", "operand", "bank",
                  "unit", "weights", "sync", "schedule"):  # fmt: skip
        assert "most used resource" not in advice.sentence(bound)[0]
    assert "most used resource" in advice.sentence("elves")[0]


def test_top_instructions_name_line_or_word() -> None:
    text = plain(cycles_page(make_report(), ["instructions"]))
    assert re.search(r"copy\.s:3 +read s0\.e, 0 +10 +10 +5", text)
    assert re.search(r"mem\.e0\.write\+0 +write 4, s0\.e +1 +1 +0", text)


def test_every_section_can_be_asked_for() -> None:
    for name in SECTIONS:
        assert plain(cycles_page(make_report(), [name])).startswith("matmul")


def test_timeline_shows_issues_and_what_is_still_busy() -> None:
    report = make_report()
    lines = timeline(report.program, report.result, 0, 20).splitlines()
    cells = {line.split()[0]: line.split()[-1] for line in lines if "mem." in line}
    assert cells["mem.w0.read"] == "R.R.R.R.R.R.R.R.R.R."
    assert cells["mem.e0.write"] == "............W==....."
    assert "R read" in lines[-1]
    assert "W write" in lines[-1]


def test_timeline_starts_inside_a_burst() -> None:
    report = make_report()
    lines = timeline(report.program, report.result, 13, 17).splitlines()
    cells = {line.split()[0]: line.split()[-1] for line in lines if "mem." in line}
    assert cells == {"mem.w0.read": ".R.R", "mem.e0.write": "==.."}


@pytest.mark.parametrize("text", ["5", "9:3", "a:b", "-4:2"])
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(Problem, match="--timeline"):
        parse_range(text)


def test_timeline_beyond_the_end() -> None:
    report = make_report()
    with pytest.raises(Problem, match="ends in cycle 99"):
        timeline(report.program, report.result, 100, 120)


def test_accuracy_verdicts() -> None:
    assert accuracy_of([1.0], [1.1], [1.2]).within is True
    assert accuracy_of([1.0], [2.0], [1.9]).within is False
    assert accuracy_of([1.0], [2.0]).within is None
    broken = accuracy_of([float("nan")], [2.0], [2.5])
    assert broken.within is False
    assert broken.nonfinite == 1
    assert broken.max_abs is None


def test_accuracy_of_integers_is_equality() -> None:
    def verdict(result: list[int]) -> tuple[bool | None, bool | None]:
        item = measure(
            {"c": np.array(result, np.int32)}, {"c": np.array([3.0, -4.0])}, None, {}, True
        )
        assert item is not None
        return item.exact, item.within

    assert verdict([3, -4]) == (True, True)
    assert verdict([3, -5]) == (False, False)


def test_accuracy_reports_the_worst_output() -> None:
    item = measure(
        {"y": np.zeros(2, np.float32), "z": np.ones(2, np.float32)},
        {"y": np.zeros(2), "z": np.zeros(2)},
        {"y": np.full(2, 0.1, np.float32), "z": np.full(2, 0.1, np.float32)},
        {},
        False,
    )
    assert item is not None
    assert (item.output, item.within) == ("z", False)


def test_sqnr_and_scale() -> None:
    item = measure(
        {"c": np.array([11, 20], np.int32)}, {"c": np.array([1.0, 2.0])}, None, {"c": 0.1}, False
    )
    assert item is not None
    assert item.max_abs == pytest.approx(0.1)
    assert item.sqnr_db == pytest.approx(10 * np.log10(5 / 0.01))
    assert item.exact is None


def test_html_is_one_static_table() -> None:
    html = make_report(kernel="<b>&", accuracy=accuracy_of([1.0], [1.1], [1.2]))._repr_html_()
    assert html.startswith("<table>")
    assert html.endswith("</table>")
    assert "&lt;b&gt;&amp;" in html
    assert "script" not in html
    assert "http" not in html


# The fields of schema 1. A change here is a change of the schema: docs/json.md says what to do.
RUN_FIELDS = (
    "schema kernel chip dtype shape mode cycles clock_hz time_s launch_s bound units memory"
    " accuracy host program_sha256 speed_of_light phases chain_cycles scales instructions seed"
    " accumulate scale warm_l2 hazards"
)
UNIT_FIELDS = "name count busy waits idle"
MEMORY_FIELDS = "read_bytes write_bytes peak_bytes_per_s achieved_bytes_per_s"
ACCURACY_FIELDS = (
    "output max_abs mean_abs rmse max_rel sqnr_db nonfinite naive_max_abs ratio_to_naive limit"
    " exact within max_ulp mean_ulp cosine calc_diff bias saturated mare mere mare_ratio mere_ratio"
    " rmse_ratio catlass softmax_kl row_sum_error"
)
HAZARD_FIELDS = "kind severity message cycle column stream where other count"


def test_json_fields_are_pinned(hazard) -> None:
    report = make_report(
        accuracy=accuracy_of([1.0], [1.1], [1.2]), result=make_result(hazards=[hazard])
    )
    data = json.loads(report.to_json())
    assert list(data) == RUN_FIELDS.split()
    assert data["schema"] == 1
    assert list(data["units"][0]) == UNIT_FIELDS.split()
    assert list(data["memory"]["sram"]) == MEMORY_FIELDS.split()
    assert list(data["accuracy"]) == ACCURACY_FIELDS.split()
    assert list(data["host"]) == ["wall_s", "peak_rss_bytes"]
    assert list(data["hazards"][0]) == HAZARD_FIELDS.split()
    assert data["hazards"][0]["where"] == {
        "section": "mem.w0.read", "word": 0, "file": "copy.s", "line": 3,
    }  # fmt: skip
    for unit in data["units"]:
        account = unit["busy"] + sum(unit["waits"].values()) + unit["idle"]
        assert account == data["cycles"] * unit["count"]


def test_json_has_no_nan() -> None:
    text = make_report(accuracy=accuracy_of([float("inf")], [1.0], [1.5])).to_json()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))
