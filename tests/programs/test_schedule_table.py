"""The compiled reservation table against the same search on Python's integers."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from programs.lpu.schedule._table import NO_ROOM, Demand, Table

COUNT, ORIGIN = 12, 128


@dataclass
class Asked:
    """Claims are (taken, checked, offset, mask); a choice is (claims, shifts)."""

    fixed: list[tuple[int, int, int, int]]
    choices: list[tuple[list[tuple[int, int, int, int]], list[int]]]

    def demand(self) -> Demand:
        rows, words = [], b""
        for taken, checked, offset, mask in (
            *self.fixed,
            *(c for cs, _ in self.choices for c in cs),
        ):
            count = -(-mask.bit_length() // 64)
            solid = mask & (mask + 1) == 0
            rows.append((taken, checked, offset, len(words) // 8, count, solid))
            words += mask.to_bytes(8 * count, "little")
        firsts = np.cumsum([0, *(len(shifts) for _, shifts in self.choices)])
        parts = len(self.fixed) + np.cumsum([0, *(len(claims) for claims, _ in self.choices)])
        shifts = [shift for _, some in self.choices for shift in some]
        return Demand(
            np.array(rows, np.int64), np.frombuffer(words, np.uint64), len(self.fixed),
            firsts, parts, np.array(shifts, np.int64), np.arange(len(self.fixed)),
        )  # fmt: skip


@dataclass
class Plain:
    """Busy cycles as the bits of integers."""

    busy: list[int] = field(default_factory=lambda: [0] * COUNT)

    def place(self, asked: Asked, start: int):
        blocker = None
        while True:
            fits, chosen, hit = self.fit(asked, start)
            if fits:
                for (taken, _, offset, mask), shift in self.taken(asked, chosen):
                    self.busy[taken + shift] |= mask << start + offset + ORIGIN
                return start, tuple(chosen), blocker
            if hit is None:
                return NO_ROOM, (), blocker
            step, *blocker = hit
            blocker = tuple(blocker)
            start += step

    def fit(self, asked: Asked, start: int):
        held = [0] * COUNT
        for taken, checked, offset, mask in asked.fixed:
            if hit := self.hit(checked, offset, mask, start):
                return False, [], hit
            held[taken] |= mask << offset + ORIGIN
        chosen: list[int] = []
        for claims, shifts in asked.choices:
            best = None
            for option, shift in enumerate(shifts):
                hits, own = [], False
                for _, checked, offset, mask in claims:
                    own |= bool(held[checked + shift] & mask << offset + ORIGIN)
                    if hit := self.hit(checked + shift, offset, mask, start):
                        hits.append(hit)
                if not own and not hits:
                    chosen.append(option)
                    for taken, _, offset, mask in claims:
                        held[taken + shift] |= mask << offset + ORIGIN
                    break
                worst = max(hits, key=lambda hit: hit[0], default=None)
                if not own and (best is None or worst[0] < best[0]):
                    best = worst
            else:
                return False, [], best
        return True, chosen, None

    def hit(self, resource: int, offset: int, mask: int, start: int):
        """(step, resource, cycle) of a conflict."""
        found = self.busy[resource] >> start + offset + ORIGIN & mask
        if not found:
            return None
        last = found.bit_length()
        return last if mask & (mask + 1) == 0 else 1, resource, start + offset + last - 1

    def taken(self, asked: Asked, chosen: list[int]):
        yield from ((claim, 0) for claim in asked.fixed)
        for (claims, shifts), option in zip(asked.choices, chosen, strict=True):
            yield from ((claim, shifts[option]) for claim in claims)


masks = st.one_of(
    st.integers(1, 200).map(lambda n: (1 << n) - 1),
    st.integers(0, 2**150).map(lambda bits: 2 * bits + 1),
    st.just(1),
)
offsets = st.integers(-ORIGIN, 130)
plain = st.builds(lambda r, o, m: (r, r, o, m), st.integers(0, 3), offsets, masks)
ports = st.builds(lambda r, o, m: (r, 1 - r, o, m), st.integers(0, 1), offsets, masks)
options = st.builds(lambda r, o, m: (r, r, o, m), st.integers(2, 5), offsets, masks)
choices = st.tuples(
    st.lists(options, min_size=1, max_size=3),
    st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True),
)
asked = st.builds(
    Asked, st.lists(plain | ports, min_size=1, max_size=4), st.lists(choices, max_size=3)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(asked, st.integers(0, 300)), min_size=1, max_size=10))
def test_fragments_go_where_the_plain_search_puts_them(jobs: list[tuple[Asked, int]]) -> None:
    table, oracle = Table(COUNT, ORIGIN), Plain()
    for job, least in jobs:
        assert table.place(job.demand(), least) == oracle.place(job, least)


def test_rows_grow_with_the_program() -> None:
    table = Table(1, ORIGIN)
    demand = Asked([(0, 0, 0, 1)], []).demand()
    starts = [table.place(demand, least)[0] for least in (0, 1_000_000, 0, 1_000_000, 500_000)]
    assert starts == [0, 1_000_000, 1, 1_000_001, 500_000]


def test_claims_have_six_numbers() -> None:
    none = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="six numbers"):
        Demand(none[:, None], none.astype(np.uint64), 1, none, none, none, none)
