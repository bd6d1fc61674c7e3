"""Kernels of the NPU. Read `emit` (how a section is written), `simd` (a SIMD function), `buffers`
and `tiles` (the tile-level API), then `rows` and `softmax`; for the cube `tiling`, `product`,
`matmul`.
"""
