"""attention on the LPU: largest error at most twice naive's, on real and on random tensors."""

import numpy as np
import pytest

from emulator.lpu.chip import load
from emulator.lpu.machine import Machine
from emulator.numerics import round_to
from programs.encoding import rounded
from programs.lpu.attention import KERNEL
from programs.lpu.decode import shift_rounds
from programs.naive import causal_mask

LP30, TSP1 = load("lpu-lp30"), load("lpu-tsp1")


def check(chip, dtype, **given):
    params = KERNEL.resolve(given)
    arrays = KERNEL.inputs(params, 0)
    encoded = KERNEL.encode(dtype, params, arrays)
    result = Machine(chip).run(KERNEL.build(chip, dtype, params), encoded.tensors)
    assert not [h for h in result.hazards if h.severity == "error"]
    o = KERNEL.decode(dtype, params, result.outputs, encoded)["o"]
    exact = KERNEL.reference(params, arrays)["o"]
    naive = KERNEL.naive(dtype, params, arrays)["o"]
    # A few roundings of the fp32 result are allowed where naive happens to be exact.
    floor = 4 * np.spacing(np.float32(np.abs(exact).max()))
    error, limit = np.abs(o - exact).max(), 2 * np.abs(naive - exact).max() + floor
    assert error <= limit, f"{error:.3g} > {limit:.3g}"
    return result


ALL = [(LP30, d) for d in ("bf16", "fp16", "e4m3", "int8", "mxfp8")] + [
    (TSP1, d) for d in ("fp16", "int8")
]
CASES = {
    "real": {},
    "causal": {"causal": 1},
    "grouped": {"heads": 8, "kv_heads": 2},
    "decode": {"seq": 1, "kv": 4096, "head_dim": 128},
    "grouped decode": {"seq": 1, "kv": 1000, "head_dim": 128, "heads": 10, "kv_heads": 2},
    "ragged": {"seq": 77, "kv": 301, "heads": 2},
    "ragged causal": {"seq": 77, "kv": 301, "heads": 2, "causal": 1},
    "wide heads": {"seq": 20, "kv": 330, "heads": 1, "head_dim": 320},
    "ragged decode": {"seq": 1, "kv": 333, "head_dim": 200, "heads": 3},
    "tiny": {"seq": 1, "kv": 1, "heads": 1, "head_dim": 1},
    "many tiles": {"seq": 350, "kv": 700, "heads": 1, "head_dim": 40, "causal": 1},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("chip", "dtype"), ALL, ids=lambda v: getattr(v, "name", v))
def test_error_is_at_most_twice_naive(chip, dtype, case):
    check(chip, dtype, **CASES[case])


@pytest.mark.parametrize("lanes", [16, 32, 100, 320])
def test_shift_rounds_see_every_lane(lanes):
    rng = np.random.default_rng(lanes)
    x = rng.standard_normal(lanes)
    y = x.copy()
    for shift in shift_rounds(lanes):
        y = np.maximum(y, np.roll(y, shift))
    assert (y == x.max()).all()


@pytest.mark.parametrize("case", ["real", "grouped", "ragged causal", "decode"])
def test_mxfp4_errs_as_its_statement_does(case):
    """p as e2m1 with block scales of 1: often more than twice naive, whose p has scales."""
    params = KERNEL.resolve(CASES[case])
    arrays = KERNEL.inputs(params, 0)
    encoded = KERNEL.encode("mxfp4", params, arrays)
    result = Machine(LP30).run(KERNEL.build(LP30, "mxfp4", params), encoded.tensors)
    o = KERNEL.decode("mxfp4", params, result.outputs, encoded)["o"]
    q, k, v = (x if x.ndim == 4 else x[None] for x in (arrays[n] for n in "qkv"))
    q, k, v = (rounded(x, "mxfp4", axis) for x, axis in ((q, -1), (k, -1), (v, -2)))
    k, v = (np.repeat(x, q.shape[1] // k.shape[1], 1) for x in (k, v))
    s = q @ k.swapaxes(-1, -2) / np.sqrt(np.float32(q.shape[-1]))
    if params["causal"]:
        s = np.where(causal_mask(q.shape[-2], k.shape[-2]), s, -np.inf)
    p = round_to(6 * np.exp(s - s.max(-1, keepdims=True)), "e2m1")
    expected = p @ v / p.sum(-1, keepdims=True)
    exact = KERNEL.reference(params, arrays)["o"]

    def rmse(x):
        return np.sqrt(np.square(x - exact).mean())

    assert rmse(o) == pytest.approx(rmse(expected), rel=0.03)
