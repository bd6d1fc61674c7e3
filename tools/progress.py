"""A line on stderr that says what is going on, for people only and only when it takes a while."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Any

PATIENCE_S = 1.0


class Progress:
    """Context manager; call it with the name of each stage.

    Nothing is shown unless stderr is a terminal and a second has passed, and the line is wiped
    when the work ends.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._stage = ""
        self._status: Any = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._timer = threading.Timer(PATIENCE_S, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __call__(self, stage: str) -> None:
        with self._lock:
            self._stage = stage
            if self._status is not None:
                self._status.update(self._text())

    def _text(self) -> str:
        return f"{self._title}: {self._stage}"

    def _show(self) -> None:
        from rich.console import Console

        with self._lock:
            if self._timer is not None:
                self._status = Console(stderr=True, highlight=False, markup=False).status(
                    self._text()
                )
                self._status.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._status is not None:
                self._status.stop()
                self._status = None
