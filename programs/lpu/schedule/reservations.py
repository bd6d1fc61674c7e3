"""The reservation table: who holds which queue, bank and stream segment in which cycle.

Cycles of one resource are the bits of Python integers, so a burst of any shape is one mask and a
conflict is one shift and one AND; a `Timeline` keeps them in pieces, so that neither costs more the
longer a program grows. Streams are reserved per diagonal (`Value` in `fragment`), once
for the western and once for the eastern half of the chip: a value uses a half if any part of its
way from producer to last consumer lies there.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

Key = tuple[Hashable, ...]

# Diagonals of westward streams exceed, those of eastward ones precede, the cycle; keep bits >= 0.
ORIGIN = 1 << 10


@dataclass(frozen=True)
class Claim:
    """`mask` (bit i = cycle offset i) of `key`, wanted free in `key` and in every key of `against`.

    A claim that only excludes others of another kind (a bank's two ports) reserves one key and
    checks another: then `shared` is set and `key` itself need not be free.
    """

    key: Key
    offset: int
    mask: int
    against: tuple[Key, ...] = ()
    shared: bool = False

    @property
    def checked(self) -> tuple[Key, ...]:
        return self.against if self.shared else (self.key, *self.against)


@dataclass(frozen=True)
class Blocked:
    """Why a fragment could not start a cycle earlier: the resource and who held it."""

    key: Key
    holder: str

    def __str__(self) -> str:
        return f"{describe(self.key)} held by {self.holder}"


def describe(key: Key) -> str:
    """A resource in words."""
    kind, *rest = key
    if kind == "stream":
        direction, index, half = rest
        return f"stream s{index}.{direction} ({'west' if half == 'w' else 'east'} half)"
    if kind == "bank":
        return f"bank {rest[1]} of slice {rest[0]} ({rest[2]} port)"
    return f"{kind} {rest[0]}" if kind == "queue" else f"the {kind} of {rest[0]}"


class Hit(NamedTuple):
    """A conflict: cycles to slide on before the claim may fit (0: never, the fragment conflicts
    with itself), the resource, and the cycle or diagonal of the conflict."""

    step: int
    key: Key
    at: int


class Timeline:
    """Busy cycles of one resource."""

    PIECE = 1 << 13  # bits of one integer

    def __init__(self) -> None:
        self._pieces: list[int] = []

    def window(self, at: int, length: int) -> int:
        """Bits at .. at + length - 1; those before 0 are clear."""
        if at >= 0 and at % self.PIECE + length <= self.PIECE:  # as nearly always: one piece
            first = at // self.PIECE
            piece = self._pieces[first] if first < len(self._pieces) else 0
            return piece >> at % self.PIECE & (1 << length) - 1
        if at < 0:
            return self.window(0, length + at) << -at if length + at > 0 else 0
        first, low = divmod(at, self.PIECE)
        pieces = self._pieces[first : first + (low + length - 1) // self.PIECE + 1]
        bits = 0
        for piece in reversed(pieces):
            bits = bits << self.PIECE | piece
        return bits >> low & (1 << length) - 1

    def add(self, at: int, mask: int) -> None:
        """Set the bits of `mask`, from bit `at` on."""
        first, low = divmod(at, self.PIECE)
        mask <<= low
        short = first + mask.bit_length() // self.PIECE + 1 - len(self._pieces)
        self._pieces += [0] * short
        while mask:
            self._pieces[first] |= mask & (1 << self.PIECE) - 1
            mask >>= self.PIECE
            first += 1


class Reservations:
    """Busy masks of all resources, and which fragment holds what (for `explain`)."""

    def __init__(self) -> None:
        self._busy: dict[Key, Timeline] = {}
        self._holders: dict[Key, list[tuple[int, int, str]]] = {}

    def blocked_for(self, claim: Claim, start: int, extra: dict[Key, int]) -> Hit | None:
        """What blocks the claim when its fragment starts at `start`; None if nothing does.

        `extra` holds masks (from cycle `start`) that the same fragment has claimed already.
        """
        offset, mask = claim.offset + ORIGIN, claim.mask
        at, length = start + offset, mask.bit_length()
        for key in claim.checked:
            busy = self._busy.get(key)
            hit = busy.window(at, length) & mask if busy else 0
            own = extra.get(key, 0)
            if own and (own >> offset) & mask:
                return Hit(0, key, start)
            if hit:
                # A solid burst cannot fit before its first cycle has passed the last conflict.
                solid = mask & (mask + 1) == 0
                last = hit.bit_length()
                return Hit(last if solid else 1, key, start + claim.offset + last - 1)
        return None

    def reserve(self, claim: Claim, start: int, holder: str) -> None:
        at = start + claim.offset + ORIGIN
        self._busy.setdefault(claim.key, Timeline()).add(at, claim.mask)
        last = at + claim.mask.bit_length()
        self._holders.setdefault(claim.key, []).append((at, last, holder))

    def holder(self, key: Key, cycle: int) -> str:
        """The fragment that holds a resource around a cycle."""
        at = cycle + ORIGIN
        for first, last, name in reversed(self._holders.get(key, [])):
            if first <= at < last:
                return name
        return "another fragment"
