"""Kernels of the NPU. Read `emit` (how a section is written), `tiling`, `product`, `matmul`."""
