"""Random SIMT programs: the engine and the plain interpreter write the same, write by write."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.emulator.npu.simt_check import check

seeds, sizes = st.integers(0, (1 << 32) - 1), st.integers(1, 30)


@settings(max_examples=50, deadline=None)
@given(seed=seeds, size=sizes)
def test_every_write_of_every_thread(seed: int, size: int) -> None:
    check(seed, size, logged=True)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, size=sizes)
def test_the_state_at_the_end(seed: int, size: int) -> None:
    """The same programs as they are, without a log between their instructions."""
    check(seed, size, logged=False)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(seed=seeds, size=st.integers(1, 60), logged=st.booleans())
def test_many_and_long_ones(seed: int, size: int, logged: bool) -> None:
    check(seed, size, logged)
