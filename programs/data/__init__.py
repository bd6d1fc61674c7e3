"""Real tensors that ship with Presil (see README.md beside this file for their source)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@cache
def minilm() -> dict[str, NDArray[np.float32]]:
    """q, k, v [12 heads, 256 tokens, 32] of layer 2 of all-MiniLM-L6-v2 on an English text."""
    with (
        (files("programs.data") / "minilm_attention.npz").open("rb") as file,
        np.load(file) as data,
    ):
        return {name: data[name] for name in ("q", "k", "v")}
