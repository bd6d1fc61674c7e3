"""The walk-throughs in docs/ are executed as they stand."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def run(name: str) -> str:
    """Execute a page's code blocks, in order; returns its text."""
    text = (DOCS / name).read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, object] = {}
    exec(compile("\n".join(blocks), name, "exec"), names)
    return text


def test_scheduling_walkthrough_runs(capsys):
    text = run("scheduling.md")
    printed = capsys.readouterr().out
    quoted = re.search(r"```text\n(.*?)\n```", text, re.S)
    assert quoted is not None
    assert quoted[1] in printed
    assert "cycles, bound by" in printed


def test_simt_walkthrough_runs(capsys):
    run("simt.md")
    assert "cycles; most were lost to" in capsys.readouterr().out


def test_npu_walkthrough_runs(capsys):
    run("tiles.md")
    printed = capsys.readouterr().out
    assert "cycles, bound by" in printed
    assert "vector.mte3" in printed
