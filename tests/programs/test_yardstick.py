"""The naive run from codes that are there already, and kernels found by their module."""

import numpy as np
import pytest

from programs import naive
from programs.draws import normal
from programs.matmul import MatmulMaths
from programs.registry import MACHINES, find, is_kernel, kernels

FORMATS = ("e4m3", "int8", "mxfp8", "mxfp4", "bf16", "fp16", "hif8")


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shape", [(1, 150, 70), (9, 150, 1100)], ids=str)
def test_naive_of_codes_is_naive(dtype: str, shape: tuple[int, int, int]) -> None:
    kernel: MatmulMaths = find("matmul", "npu")  # type: ignore[assignment]
    m, k, n = shape
    arrays = {"a": 30 * normal((m, k), 1, 0), "b": normal((k, n), 1, 1)}
    arrays["b"][:, 3] *= 1e4  # some saturate
    encoded = kernel.encode(dtype, {}, arrays)
    expected = kernel.naive(dtype, {}, arrays)["c"]
    found = kernel.naive_of(dtype, {}, arrays, encoded)["c"]
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("machine", MACHINES)
def test_every_kernel_is_in_the_module_of_its_name(machine: str) -> None:
    for name, kernel in kernels(machine).items():
        assert type(kernel).__module__ == f"programs.{machine}.{name}"
        assert find(name, machine) is kernel


def test_is_kernel() -> None:
    assert is_kernel("matmul")
    assert is_kernel("lstm")
    for name in ("product", "no_such", "../lpu/matmul", "programs/lpu/saxpy.s", ""):
        assert not is_kernel(name)


@pytest.mark.parametrize(
    ("rows", "keys", "dim"),
    [(256, 256, 32), (33, 70, 64), (1, 4096, 128), (96, 3000, 16), (2, 0, 4)],
)
def test_small_products_are_products(rows: int, keys: int, dim: int) -> None:
    """Whole numbers, so that the order of additions is no matter."""
    rng = np.random.default_rng(rows)
    left = rng.integers(-9, 9, (2, 3, rows, dim)).astype(np.float32)
    right = rng.integers(-9, 9, (2, 3, dim, keys)).astype(np.float32)
    found = naive._products(left, right)
    np.testing.assert_array_equal(found, np.einsum("...qd,...dk->...qk", left, right))
