"""Seeded inputs: the same numbers whatever the computer."""

from __future__ import annotations

import numpy as np
import pytest

from emulator import host
from programs import draws


def test_normals_do_not_depend_on_the_number_of_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (3, draws.NORMAL_BLOCK - 7)
    drawn = {}
    for cpus in (1, 2, 5):
        monkeypatch.setattr(host, "host_threads", lambda cpus=cpus: cpus)
        drawn[cpus] = draws.normal(shape, 7, 1)
    assert drawn[1].shape == shape
    assert drawn[1].tobytes() == drawn[2].tobytes() == drawn[5].tobytes()


def test_a_short_tensor_is_numpys_philox_of_seed_and_stream() -> None:
    rng = np.random.Generator(np.random.Philox(key=[5, 2]))
    assert np.array_equal(draws.normal((4, 9), 5, 2), rng.standard_normal((4, 9), np.float32))
    assert draws.normal((0, 3), 5, 2).shape == (0, 3)


def test_blocks_streams_and_seeds_are_told_apart() -> None:
    long = draws.normal((2 * draws.NORMAL_BLOCK,), 0, 0)
    first, second = np.split(long, 2)
    assert not np.array_equal(first, second)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert not np.array_equal(draws.normal((8,), 0, 0), draws.normal((8,), 0, 1))
    assert not np.array_equal(draws.normal((8,), 0, 0), draws.normal((8,), 1, 0))
