"""Where the text of the small verbs goes."""

from __future__ import annotations

import json
from typing import Any

import click

from tools.files import check_writable, write_bytes


def put_json(data: Any, target: str) -> None:
    """One JSON document to a file, or (``-``) to stdout."""
    put_text(json.dumps(data, indent=2, allow_nan=False), target)


def put_text(text: str, target: str) -> None:
    """The text of a JSON document to a file or to stdout."""
    if target == "-":
        click.echo(text)
        return
    check_writable("--json", target)
    write_bytes(target, text.encode() + b"\n")
