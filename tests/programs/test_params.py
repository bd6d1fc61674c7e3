"""Values of ``--set``: what each kind of parameter takes, and what it says to the rest."""

from __future__ import annotations

from typing import Any

import pytest

from programs.kernel import Choice, KernelError, Param, Real

SIZE = Param("m", 8, "a size", most=4096)
PIECE = Real("piece_mb", 1.5, "decimal MB", least=0.001)
MODE = Choice("mode", "simd", "how it runs", choices=("simd", "simt"))


@pytest.mark.parametrize(
    ("param", "given", "value"),
    [(SIZE, "17", 17), (SIZE, 4096, 4096), (PIECE, "0.25", 0.25), (PIECE, 3, 3.0),
     (MODE, "simt", "simt")],
)  # fmt: skip
def test_values(param: Param, given: Any, value: Any) -> None:
    assert param.read(given) == value
    assert type(param.read(given)) is type(value)


@pytest.mark.parametrize(
    ("param", "given", "message"),
    [
        (SIZE, "x", "m is an integer, not 'x'"),
        (SIZE, "1.5", "m is an integer"),
        (SIZE, 1.5, "m is an integer"),
        (SIZE, 0, "m is at least 1 and at most 4,096, not 0"),
        (SIZE, 5000, "at most 4,096, not 5000"),
        (PIECE, "many", "piece_mb is a number, not 'many'"),
        (PIECE, "nan", "piece_mb is a number"),
        (PIECE, "inf", "piece_mb is a number"),
        (PIECE, 0, "piece_mb is at least 0.001, not 0.0"),
        (MODE, "smt", "mode is simd or simt, not 'smt'; did you mean 'sim[dt]'"),
        (MODE, 3, "mode is simd or simt, not '3'"),
    ],
)
def test_wrong_values(param: Param, given: Any, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        param.read(given)
