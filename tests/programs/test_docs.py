"""The walk-through in docs/scheduling.md is executed as it stands."""

import re
from pathlib import Path

DOC = Path(__file__).parents[2] / "docs" / "scheduling.md"


def test_scheduling_walkthrough_runs(capsys):
    text = DOC.read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, object] = {}
    exec(compile("\n".join(blocks), str(DOC), "exec"), names)
    printed = capsys.readouterr().out
    quoted = re.search(r"```text\n(.*?)\n```", text, re.S)
    assert quoted is not None
    assert quoted[1] in printed
    assert "cycles, bound by" in printed
