"""Matrix planes over time: when a shadow buffer is free, when its weights may be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from programs.lpu.schedule.fragment import Fragment, Op

if TYPE_CHECKING:
    from programs.lpu.schedule.schedule import Placement, Schedule

Bounds = Mapping[Op, tuple[int, str]]


@dataclass
class _State:
    loaded: int = 0  # first cycle in which the shadow buffer may be installed
    installed: int = -1  # cycle of the last iw
    usable: int = 0  # first cycle in which mm sees the installed weights
    last_mm: int = 0  # last issue of mm


class Planes:
    """Keeps weight loads, installs and products of each plane in a legal order.

    Use, per pass: `load` a fragment that ends in ``lw`` (and ``lws``), `install`, then `run` a
    fragment with ``mm``. Loading the next weights before running the present ones hides the load.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._state = [_State() for _ in range(schedule.chip.mxm.planes)]

    def load(
        self, fragment: Fragment, after: int = 0, extra: Bounds | None = None
    ) -> Placement:  # fmt: skip
        """Place a fragment whose ``lw``/``lws`` fill shadow buffers; `extra` as in `run`."""
        bounds = {}
        for op in fragment.ops:
            if op.name in ("lw", "lws"):
                state = self._state[_plane(op)]
                least = max(state.installed + 1, state.loaded if op.name == "lws" else 0)
                bounds[op] = (least, f"weights of plane {_plane(op)} installed")
                if extra and op in extra:
                    bounds[op] = max(bounds[op], extra[op])
        placement = self._schedule.place(fragment, after, bounds=bounds)
        for op in bounds:
            state = self._state[_plane(op)]
            state.loaded = max(state.loaded, placement.time(op) + op.hold + op.latency)
        return placement

    def install(self, plane: int, after: int = 0) -> Placement:
        """Place the ``iw`` that makes the loaded weights active after the last product."""
        state = self._state[plane]
        label = f"install weights, plane {plane}"
        fragment = self._schedule.alike(label, label, [])
        op = fragment.install(plane) if fragment.empty else fragment.ops[0]
        late = "weights loaded" if state.loaded >= state.last_mm else "last product of old weights"
        placement = self._schedule.place(fragment, max(state.loaded, state.last_mm, after), late)
        state.installed = placement.time(op)
        state.usable = state.installed + op.latency
        return placement

    def run_passes(self, fragment: Fragment) -> Placement:
        """Place a fragment of whole passes: it installs what is loaded, and loads the next."""
        bounds = {}
        for op in fragment.ops:
            if op.name == "iw":
                state = self._state[_plane(op)]
                late = state.loaded >= state.last_mm
                bounds[op] = (
                    max(state.loaded, state.last_mm),
                    "weights loaded" if late else "last product of old weights",
                )
        placement = self._schedule.place(fragment, bounds=bounds)
        for op in fragment.ops:
            if op.name == "iw":
                state = self._state[_plane(op)]
                state.installed = placement.last(op)
                state.usable = state.installed + op.latency
            elif op.name == "mm":
                state = self._state[_plane(op)]
                state.last_mm = max(state.last_mm, placement.last(op))
            elif op.name in ("lw", "lws"):
                state = self._state[_plane(op)]
                state.loaded = max(state.loaded, placement.last(op) + op.hold + op.latency)
        return placement

    def run(self, fragment: Fragment, after: int = 0, extra: Bounds | None = None) -> Placement:
        """Place a fragment with ``mm`` on any number of planes."""
        bounds = dict(extra or {})
        for op in fragment.ops:
            if op.name == "mm":
                bounds[op] = (self._state[_plane(op)].usable, "weights installed")
        placement = self._schedule.place(fragment, after, bounds=bounds)
        for op in fragment.ops:
            if op.name == "mm":
                state = self._state[_plane(op)]
                state.last_mm = max(state.last_mm, placement.last(op))
        return placement


def _plane(op: Op) -> int:
    return int(op.queues[0].split(".")[1])
