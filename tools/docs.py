"""Keeps the generated parts of README and docs/ current: ``python -m tools.docs``.

A generated part stands between ``<!-- begin NAME -->`` and ``<!-- end -->``. NAME is a key of
`PARTS`, or ``$ presil ...``, which stands for what that command prints. Those that begin with
``slow`` take minutes and are left as they are without ``--slow``. ``--check`` changes nothing and
exits with 1 where a page is out of date.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

BAR = "\\|"  # inside a table
ROOT = Path(__file__).resolve().parent.parent
_PART = re.compile(r"(<!-- begin (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> Iterator[Path]:
    """README and every page of docs/."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").glob("*.md"))


def chips() -> str:
    from tools.chipinfo import markdown

    return markdown()


def json_fields() -> str:
    """Every model of the JSON schema as a table, the outermost first."""
    from tools import record
    from tools.accuracy import Accuracy

    return _models(record.Run, record.Unit, record.Memory, Accuracy, record.Host,
                   record.HazardRecord, record.Where)  # fmt: skip


def accuracy_fields() -> str:
    """The models of `presil accuracy --json`; their `Accuracy` is that of a run."""
    from tools.accuracytable import AccuracyRecord, AccuracyRow

    return _models(AccuracyRecord, AccuracyRow)


def validation_fields() -> str:
    """The models of `presil validate --json`."""
    from tools.validation import Comparison, Effect, Summary, Validation

    return _models(Validation, Comparison, Summary, Effect)


def effects() -> str:
    """The last table of `presil validate --sensitivity`."""
    shown = command_output("$ presil validate --sensitivity")
    first, _, rest = shown.partition("\n")
    command, _, lines = rest.partition("\n")
    return f"{first}\n{command}\n...\n" + lines[lines.index("What moves a row most") :]


def _models(*models: type[BaseModel]) -> str:
    lines: list[str] = []
    for model in models:
        lines += [f"### {model.__name__}", "", str(model.__doc__).strip(), ""]
        lines += ["| field | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{item.alias or name}` | {_type(item.annotation)} | {item.description} |"
            for name, item in model.model_fields.items()
        ]
        lines.append("")
    return "\n".join(lines).rstrip()


def _type(annotation: Any) -> str:
    """A Python annotation in JSON's words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, UnionType):
        return " or ".join(dict.fromkeys(_type(a) for a in arguments))
    if origin is dict:
        return f"object of {_type(arguments[1])}"
    if origin is list:
        return f"array of {_type(arguments[0])}"
    if origin is not None:
        return " or ".join(f"`{a!r}`".replace("'", '"') for a in arguments)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__name__
    names = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
    return names[annotation]


def formats() -> str:
    """The element formats and the block formats."""
    from emulator.numerics import BLOCK_FORMATS, FORMATS
    from tools import formats as rows

    lines = ["| format | bits | largest | smallest > 0 | epsilon | Inf | NaN | codes |",
             "|---|---:|---:|---:|---:|---|---|---|"]  # fmt: skip
    lines += [f"| `{row.name}` | {' | '.join(rows.limits(row))} |" for row in FORMATS]
    lines += ["", "| blocks | elements | block | scale |", "|---|---|---:|---|"]
    lines += [f"| `{b.name}` | {' | '.join(rows.blocks(b))} |" for b in BLOCK_FORMATS.values()]
    return "\n".join(lines)


def bounds() -> str:
    """What each bound means and what to change."""
    from tools.advice import BOUNDS

    lines = ["| bound | meaning | what to change |", "|---|---|---|"]
    lines += [f"| `{name}` | {meaning} | {change} |" for name, (meaning, change) in BOUNDS.items()]
    return "\n".join(lines)


def verbs() -> str:
    """Every verb with its options; made from the commands, not from click's layout of the help."""
    import click

    from tools.cli import VERBS, main

    context = click.Context(main, info_name="presil")
    lines: list[str] = []
    for name in VERBS:
        command = main.get_command(context, name)
        assert command is not None
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        words = " ".join(a.metavar or str(a.name).upper() for a in arguments)
        lines += [f"## presil {name}", "", f"`presil {name} [OPTIONS] {words}`", ""]
        lines += [inspect.cleandoc(command.help or ""), "", "| option | |", "|---|---|"]
        for option in (p for p in command.params if isinstance(p, click.Option)):
            value = option.metavar or (
                "|".join(option.type.choices) if isinstance(option.type, click.Choice) else ""
            )
            flags = ", ".join(option.opts) + f" {value}".rstrip()
            lines.append(f"| `{flags.replace('|', BAR)}` | {option.help} |")
        lines.append("")
    return "\n".join(lines).rstrip()


PARTS: dict[str, Callable[[], str]] = {
    "chips": chips,
    "json": json_fields,
    "accuracy": accuracy_fields,
    "validation": validation_fields,
    "effects": effects,
    "formats": formats,
    "bounds": bounds,
    "verbs": verbs,
}


def command_output(command: str) -> str:
    """A command and what it prints, without the line about this computer."""
    words = command.removeprefix("$ presil").split()
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", *words],
        cwd=ROOT, env={**os.environ, "COLUMNS": "100"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if not line.startswith("host ")]
    text = "\n".join(lines).rstrip()
    return f"```console\n{command}\n{text}\n{done.stderr.rstrip()}".rstrip() + "\n```"


def part(name: str) -> str:
    """The text of a generated part."""
    return command_output(name) if name.startswith("$ ") else PARTS[name]()


SLOW = "slow "


def current(text: str, slow: bool = False) -> str:
    """A page with every generated part made anew, slow ones only if asked for."""

    def fresh(match: re.Match[str]) -> str:
        if match[2].startswith(SLOW) and not slow:
            return match[0]
        return f"{match[1]}\n{part(match[2].removeprefix(SLOW))}\n\n{match[3]}"

    return _PART.sub(fresh, text)


def main(words: list[str]) -> int:
    """Write the pages that changed, or with ``--check`` name them."""
    stale = 0
    for path in pages():
        text = path.read_text()
        fresh = current(text, "--slow" in words)
        if fresh != text:
            stale += 1
            print(f"{path.relative_to(ROOT)}: {'out of date' if '--check' in words else 'written'}")
            if "--check" not in words:
                path.write_text(fresh)
    return 1 if stale and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
