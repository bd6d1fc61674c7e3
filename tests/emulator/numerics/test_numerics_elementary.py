"""Elementary functions: the bound, the special values, and the same bits everywhere."""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.emulator.numerics.numerics_oracle as oracle
from emulator import numerics

NAMES = ["exp2", "exp", "ln", "sqrt", "rsqrt", "tanh", "erf"]
# Near-truth in float64: good to 2^-50 or so, where the bound needs 2^-31.
TRUTH: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp2": np.exp2,
    "exp": np.exp,
    "ln": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "tanh": np.tanh,
    "erf": lambda x: np.array([math.erf(v) for v in x.tolist()]),
}
# Where something happens: ends of range, ties of the argument reduction, joints of pieces.
EDGES = np.concatenate(
    [
        np.arange(-160, 140),
        np.arange(-160, 140) + 0.5,
        np.arange(0, 80) / 16,
        (np.arange(-150, 130) + 0.5) * math.log(2),
        2.0 ** np.arange(-149, 128),
        math.sqrt(0.5) * 2.0 ** np.arange(-148, 128),
        [88.722839, 88.722832, -103.97208, -103.97207, -87.33655, 9.010913, 3.9192059, 0.0078125],
    ]
).astype(np.float32)


def near(x: np.ndarray) -> np.ndarray:
    """x and -x with both neighbours."""
    x = np.concatenate(
        [x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))]
    )
    return np.concatenate([x, -x])


def ulps(name: str, x: np.ndarray) -> np.ndarray:
    """Error in units of the last place of the true value. Finite results; both may overflow."""
    with np.errstate(all="ignore"):
        truth = TRUTH[name](x.astype(np.float64))
        got = getattr(numerics, name)(x).astype(np.float64)
        ulp = np.spacing(np.maximum(np.abs(truth), 2.0**-126).astype(np.float32)).astype(np.float64)
        ulp = np.minimum(ulp, 2.0**104)
        over = np.abs(truth) >= 2.0**128 - 2.0**103  # beyond the last tie
        error = np.where(
            over, np.where(got == np.copysign(np.inf, truth), 0, np.inf), (got - truth) / ulp
        )
    defined = ~np.isnan(truth) & ~np.isinf(truth.astype(np.float64))
    return np.abs(error[defined])


@pytest.mark.parametrize("name", NAMES)
def test_within_bound(name: str) -> None:
    rng = np.random.default_rng(11)
    x = np.concatenate(
        [
            oracle.ALL_BF16[np.isfinite(oracle.ALL_BF16)],
            near(EDGES),
            rng.uniform(-20, 20, 50_000).astype(np.float32),
            rng.uniform(-1, 1, 50_000).astype(np.float32) ** 3,
            rng.integers(0, 1 << 32, 100_000, dtype=np.uint32).view(np.float32),
        ]
    )
    x = x[np.isfinite(x)]
    if name in ("ln", "sqrt", "rsqrt"):
        x = np.abs(x[x != 0])
    assert ulps(name, x).max() <= 0.5001


def test_sqrt_is_correctly_rounded() -> None:
    x = (
        np.random.default_rng(2)
        .integers(0, 0x7F800000, 1_000_000, dtype=np.uint32)
        .view(np.float32)
    )
    assert (numerics.sqrt(x) == np.sqrt(x)).all()


SPECIAL = {  # by input: 0, -0, Inf, -Inf, NaN
    "exp2": [1, 1, np.inf, 0, np.nan],
    "exp": [1, 1, np.inf, 0, np.nan],
    "ln": [-np.inf, -np.inf, np.inf, np.nan, np.nan],
    "sqrt": [0, -0.0, np.inf, np.nan, np.nan],
    "rsqrt": [np.inf, -np.inf, 0, np.nan, np.nan],
    "tanh": [0, -0.0, 1, -1, np.nan],
    "erf": [0, -0.0, 1, -1, np.nan],
}


@pytest.mark.parametrize("name", NAMES)
def test_special_values(name: str) -> None:
    x = np.array([0, -0.0, np.inf, -np.inf, -np.nan], np.float32)
    got = getattr(numerics, name)(x)
    assert oracle.same(got, np.array(SPECIAL[name])).all(), got
    bits = np.concatenate([got, getattr(numerics, name)(np.float32([-1e-45, -2, -3e38]))]).view(
        np.uint32
    )
    assert (bits[np.isnan(bits.view(np.float32))] == 0x7FC00000).all()


@pytest.mark.parametrize(("name", "integers"), [("exp2", range(-149, 128))])
def test_powers_of_two_are_exact(name: str, integers: range) -> None:
    x = np.array(integers, np.float32)
    assert (numerics.exp2(x).astype(np.float64) == 2.0 ** np.array(integers, np.float64)).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_at_a_time_gives_the_same_bits(name: str) -> None:
    function = getattr(numerics, name)
    x = np.random.default_rng(5).uniform(-10, 10, 61).astype(np.float32)
    whole = function(x).view(np.uint32)
    assert [int(function(v).view(np.uint32)) for v in x] == whole.tolist()
    assert (function(x[1:]).view(np.uint32) == whole[1:]).all()
    assert function(x.reshape(61, 1)[::2]).shape == (31, 1)


@given(
    st.sampled_from(["exp2", "exp", "tanh", "erf", "ln", "sqrt"]),
    st.floats(width=32),
    st.floats(width=32),
)
def test_monotonic(name: str, a: float, b: float) -> None:
    x = np.array(sorted((abs(a), abs(b)) if name in ("ln", "sqrt") else (a, b)), np.float32)
    y = getattr(numerics, name)(x)
    assert np.isnan(x).any() or y[0] <= y[1]


@given(st.sampled_from(["tanh", "erf"]), st.floats(width=32, allow_nan=False))
def test_odd(name: str, x: float) -> None:
    function = getattr(numerics, name)
    assert function(np.float32(-x)) == -function(np.float32(x))


# Digests of 2^18 results, canonical NaNs included. Made on x86-64, with AVX2 and with SSE2 alone; a
# machine that disagrees breaks "same input, same bytes".
DIGESTS = {
    "exp2": "1fb0bada2e41cd68",
    "exp": "15a0836cf2916bb5",
    "ln": "e7634994388a7d8e",
    "sqrt": "091aaf42eddf8e5d",
    "rsqrt": "761390ba3c15a5b1",
    "tanh": "8723eaec284506d9",
    "erf": "ba4efd614d160a83",
}


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_on_every_machine(name: str) -> None:
    step = np.arange(1 << 18, dtype=np.uint32) * np.uint32(2654435761)
    y = getattr(numerics, name)(step.view(np.float32))
    assert hashlib.sha256(y.astype("<f4").tobytes()).hexdigest()[:16] == DIGESTS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_all_float32(name: str) -> None:
    for start in range(0, 1 << 32, 1 << 22 if name == "erf" else 1 << 24):
        width = 1 << 14 if name == "erf" else 1 << 24  # math.erf is slow: a part of every block
        x = np.arange(start, start + width, dtype=np.uint32).view(np.float32)
        x = x[np.isfinite(x)]
        if name in ("ln", "sqrt", "rsqrt"):
            x = x[x > 0]
        assert ulps(name, x).max(initial=0) <= 0.5001
