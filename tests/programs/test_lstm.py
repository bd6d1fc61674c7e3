"""The LSTM step: values against numpy, the published schedule's shape, the tighter one."""

import numpy as np
import pytest

from emulator.lpu.chip import load
from emulator.lpu.machine import Machine
from programs.kernel import KernelError
from programs.registry import kernels

TSP1 = load("lpu-tsp1")
LSTM = kernels("lpu")["lstm"]


def step(seed=0, chip=TSP1, **given):
    params = LSTM.resolve(given)
    arrays = LSTM.inputs(params, seed)
    encoded = LSTM.encode("int8", params, arrays)
    result = Machine(chip).run(LSTM.build(chip, "int8", params), encoded.tensors)
    assert not result.hazards
    return arrays, LSTM.decode("int8", params, result.outputs, encoded), result


def cycles(batch, chip=TSP1, **given):
    program = LSTM.build(chip, "int8", LSTM.resolve({"batch": batch, **given}))
    return Machine(chip).run(program, mode="timing").cycles


@pytest.mark.parametrize("schedule", ["published", "best"])
@pytest.mark.parametrize(("hidden", "batch"), [(512, 3), (100, 1), (333, 7)])
def test_values(hidden, batch, schedule):
    arrays, got, _ = step(hidden=hidden, batch=batch, schedule=schedule)
    # The same codes, everything else in float64: only fp32 roundings are left.
    codes = LSTM.encode("int8", LSTM.resolve({"hidden": hidden, "batch": batch}), arrays).tensors
    gates = {}
    for name, bias in zip("icof", arrays["bias"], strict=True):
        product = codes["xh"].astype(np.float64) @ codes[f"w_{name}"].astype(np.float64)
        gates[name] = product * codes[f"scale_{name}"] + bias
    i, o, f = (1 / (1 + np.exp(-gates[name])) for name in "iof")
    c = f * arrays["c"] + i * np.tanh(gates["c"])
    np.testing.assert_allclose(got["c_out"], c, atol=2e-6)
    np.testing.assert_allclose(got["h_out"], o * np.tanh(c), atol=2e-6)


def test_both_schedules_give_the_same_bits():
    (_, a, slow), (_, b, fast) = (step(batch=5, schedule=s) for s in ("published", "best"))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert fast.cycles < slow.cycles / 2


def test_published_schedule_takes_24_cycles_a_row():
    # Copy 2 x 4 passes, products 2 tiles x 4 passes, dequantise 2, activations 2 + 2, state 2.
    base = cycles(1)
    assert [cycles(b) - base for b in (3, 6, 8, 32)] == [24 * (b - 1) for b in (3, 6, 8, 32)]


def test_a_pass_is_a_sum_in_the_published_schedule():
    # One more pass of K (hidden 480 -> 640 in [x, h]) for each of the same two tiles of N.
    chip = load("lpu-tsp1")
    three, four = (cycles(1, chip, hidden=h) for h in (480, 640))
    copies = 2 * 1  # the copy has one vector more for each hemisphere
    assert four - three == 2 * (20 + 2 + 1 + 40) + copies


@pytest.mark.parametrize(
    ("chip", "given", "text"),
    [
        ("lpu-tiny", {}, "does not fit lpu-tiny: needs"),
        ("lpu-tsp1", {"batch": 321}, "needs as many accumulator rows, 320 available"),
    ],
)
def test_what_does_not_fit_says_so(chip, given, text):
    with pytest.raises(KernelError, match=text):
        LSTM.build(load(chip), "int8", LSTM.resolve(given))


def test_wrong_shapes_say_what_is_right():
    params = LSTM.resolve({"hidden": 8})
    arrays = LSTM.inputs(params, 0) | {"bias": np.zeros((4, 9), np.float32)}
    with pytest.raises(KernelError, match=r"bias is \[4, hidden\] fp32, not \(4, 9\)"):
        LSTM.shape_params(arrays)
