"""A chip's memory as the compiled memory system takes it: times in cycles of the chip."""

from __future__ import annotations

from typing import Any

from emulator.npu.memory.spec import HbmSpec, L2Spec

# Keys of [hbm] that are times and keep their names.
_TIMES = (
    "cl", "cwl", "rcd_read", "rcd_write", "rp", "ras", "rc", "ccd_l", "rrd_s", "rrd_l", "faw",
    "rtp", "wr", "wtr_s", "wtr_l", "rtw", "refi", "rfc",
)  # fmt: skip


def _bits(value: float) -> int:
    """The exponent of a power of two."""
    return int(value).bit_length() - 1


def numbers(hbm: HbmSpec, l2: L2Spec, clock: float, cores: int) -> dict[str, Any]:
    """Everything by name; `clock` in Hz."""
    channels = hbm.pseudo_channels
    found: dict[str, Any] = {key: getattr(hbm, key) * clock for key in _TIMES}
    return found | {
        "burst": hbm.burst_seconds * clock,
        "hbm_latency": hbm.latency * clock,
        "channels": channels,
        "channel_bits": _bits(channels) if channels & (channels - 1) == 0 else -1,
        "interleave_bits": _bits(hbm.interleave),
        "group_shift": _bits(hbm.group_bytes),
        "group_bits": _bits(hbm.bank_groups),
        "bank_bits": _bits(hbm.banks_per_group),
        "block_bits": _bits(hbm.page * hbm.bank_groups),
        "hash": hbm.hash,
        "queue": hbm.queue,
        "chunk": int(min(hbm.interleave, hbm.group_bytes, l2.line)),
        "line_bits": _bits(l2.line),
        "lines": l2.lines,
        "cores": cores,
        "read_rate": l2.read_rate,
        "write_rate": l2.write_rate,
        "core_read": l2.core_read,
        "core_write": l2.core_write,
        "partial_line": float(l2.partial_line),
        "l2_latency": l2.latency,
        "outstanding": l2.outstanding,
        "atomic": l2.atomic,
    }
