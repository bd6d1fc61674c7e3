"""What `run.py` measures: one row per workload. Read `Row` first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """A kernel with its parameters on a chip.

    `limit` is the wall time to stay within, as a multiple of a numpy matmul: ("f32", 3.0). With
    `process` it is a whole `presil run` that is timed, less what `presil chips` takes. `changed`
    are values of the chip, as for --with.
    """

    name: str
    kernel: str
    chip: str
    dtype: str | None = None
    mode: str = "full"
    sizes: dict[str, Any] = field(default_factory=dict)
    limit: tuple[str, float] | None = None
    process: bool = False
    changed: dict[str, str] = field(default_factory=dict)


def _cube(size: int) -> dict[str, Any]:
    return {"m": size, "n": size, "k": size}


GEMV = {"m": 1, "n": 4096, "k": 4096}
HEAD = {"heads": 1, "seq": 4096, "kv": 4096, "head_dim": 128}
THREADS = {"mode": "simt", "rows": 4096, "cols": 4096}
NPU, LPU = "npu-950pr", "lpu-lp30"
LARGE = {"mem.words": "40960"}  # an LPU that holds 8192^3

ROWS = (
    Row("NPU int8 4096^3", "matmul", NPU, "int8", sizes=_cube(4096), limit=("f32", 3)),
    Row("NPU mxfp4 4096^3", "matmul", NPU, "mxfp4", sizes=_cube(4096), limit=("f32", 3)),
    Row("NPU mxfp8 4096^3", "matmul", NPU, "mxfp8", sizes=_cube(4096), limit=("f64", 2)),
    Row("NPU e4m3 4096^3", "matmul", NPU, "e4m3", sizes=_cube(4096), limit=("f64", 2)),
    Row("NPU bf16 4096^3", "matmul", NPU, "bf16", sizes=_cube(4096), limit=("f64", 4)),
    Row("NPU fp16 4096^3", "matmul", NPU, "fp16", sizes=_cube(4096), limit=("f64", 4)),
    Row("NPU mxfp8 2048^3", "matmul", NPU, "mxfp8", sizes=_cube(2048)),
    Row("NPU mxfp8 1024^3", "matmul", NPU, "mxfp8", sizes=_cube(1024)),
    Row("NPU mxfp8 4096^3 timing", "matmul", NPU, "mxfp8", "timing", _cube(4096)),
    Row("NPU mxfp8 8192^3 timing", "matmul", NPU, "mxfp8", "timing", _cube(8192), ("f32", 1)),
    Row("NPU mxfp8 1x4096x4096", "matmul", NPU, "mxfp8", sizes=GEMV),
    Row("NPU mxfp8 1x4096x4096 process", "matmul", NPU, "mxfp8", "full", GEMV, ("f32", 0.8), True),
    Row("NPU e4m3 1x4096x4096 process", "matmul", NPU, "e4m3", "full", GEMV, ("f32", 0.8), True),
    Row("NPU bf16 attention 4096x4096x128", "attention", NPU, "bf16", "full", HEAD, ("f32", 4)),
    Row("NPU attention, real tensors", "attention", NPU, None, "full", {}, ("f32", 2), True),
    Row("NPU SIMT saxpy 2^24", "saxpy", NPU, None, "full", {"n": 1 << 24}),
    Row("NPU SIMT add 2^24", "add", NPU, "fp32", "full", THREADS),
    Row("NPU SIMT add 2^24 timing", "add", NPU, "fp32", "timing", THREADS),
    Row("LPU int8 4096^3", "matmul", LPU, "int8", sizes=_cube(4096), limit=("f32", 3)),
    Row("LPU e4m3 4096^3", "matmul", LPU, "e4m3", sizes=_cube(4096), limit=("f64", 2)),
    Row("LPU int8 4096^3 timing", "matmul", LPU, "int8", "timing", _cube(4096)),
    Row(
        "LPU int8 8192^3 timing, 2 GB",
        "matmul",
        LPU,
        "int8",
        "timing",
        _cube(8192),
        ("f32", 1),
        changed=LARGE,
    ),
    Row("LPU int8 640^3", "matmul", LPU, "int8", sizes=_cube(640)),
    Row("LPU e4m3 1x4096x4096", "matmul", LPU, "e4m3", sizes=GEMV),
    Row("LPU e4m3 1x4096x4096 process", "matmul", LPU, "e4m3", "full", GEMV, ("f32", 0.8), True),
    Row("LPU attention, real tensors", "attention", LPU, None, "full", {}, ("f32", 2), True),
)
