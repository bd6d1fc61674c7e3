"""A command line to try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result as Outcome

from emulator.result import Hazard
from tools.cli import main


@pytest.fixture
def call() -> Callable[..., Outcome]:
    """``call("run", "matmul")`` runs the command line in this process."""

    def run(*words: object, **options: Any) -> Outcome:
        return CliRunner().invoke(main, [str(word) for word in words], **options)

    return run


@pytest.fixture
def hazard() -> Hazard:
    return Hazard(
        kind="operand", severity="error", message="nothing is on the stream", cycle=12, column=7,
        stream="s0.e", where=("mem.w0.read", 0), other=("mem.e0.write", 0), count=3,
    )  # fmt: skip
