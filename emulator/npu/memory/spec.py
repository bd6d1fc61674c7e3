"""What the memory system must know about a chip: the tables ``[hbm]`` and ``[l2]`` of its file.

No value has a default: every number comes from a chip file with its source beside it. Times carry a
unit (``"19.375 ns"``), sizes too (``"512 B"``), counts are plain. The names follow JEDEC's: a
command of a bank needs ``rcd`` after its row was activated, and so on. What facts/npu.md gives in
clocks of HBM3 at 6.4 Gb/s is there in clocks of 0.625 ns.

A complete pair of tables, which a chip file can start from:

>>> HbmSpec.model_validate(EXAMPLE["hbm"]).pseudo_channels
64
>>> L2Spec.model_validate(EXAMPLE["l2"]).lines
262144
"""

from __future__ import annotations

import tomllib
from typing import Annotated, Any

from pydantic import Field, model_validator

from emulator.chip import Bytes, Rate, Seconds, Spec

Count = Annotated[int, Field(ge=1)]
Cycles = Annotated[int, Field(ge=1)]
BytesPerCycle = Annotated[float, Field(gt=0)]

SECTOR = 128
"""Bytes of an L2 sector, the unit of traffic between L2 and HBM (access granularity of the 950)."""

BURSTS = 4
"""Bursts of a sector."""


def _power_of_two(value: float) -> bool:
    return value == int(value) and int(value) & (int(value) - 1) == 0


class HbmSpec(Spec):
    """High-bandwidth memory: geometry, timing, address map. Table ``[hbm]``."""

    capacity: Bytes
    """Addresses run from 0 to capacity - 1."""
    bandwidth: Rate
    """Raw rate of all pins. It sets the burst time, and bursts of two bank groups follow each other
    by just that (CCD_S, which therefore is no key): burst x pseudo_channels / bandwidth."""
    pseudo_channels: Annotated[int, Field(ge=1, le=1024)]
    """Independent channels, each with its own queue, banks and data bus."""
    bank_groups: Annotated[int, Field(ge=1, le=8)]
    """Per pseudo-channel. Bursts of one group are ccd_l apart."""
    banks_per_group: Annotated[int, Field(ge=1, le=8)]
    """So a pseudo-channel has bank_groups x banks_per_group banks."""
    page: Bytes
    """Bytes of one row of one bank of one pseudo-channel."""
    burst: Bytes
    """Bytes of one burst; a quarter of an L2 sector."""
    interleave: Bytes
    """Consecutive bytes in one pseudo-channel before the next one takes over."""
    group_bytes: Bytes
    """Consecutive bytes *of a channel* in one bank group before the next one takes over."""

    hash: bool
    """Whether each round of the channels, of the bank groups and of the banks begins at another
    place, by the digits of its number, so that power-of-two strides spread over all of them."""

    cl: Seconds
    """Read command to first data."""
    cwl: Seconds
    """Write command to first data."""
    rcd_read: Seconds
    """Activate to read of the row."""
    rcd_write: Seconds
    """Activate to write of the row."""
    rp: Seconds
    """Precharge to activate of the same bank."""
    ras: Seconds
    """Activate to precharge of the same bank."""
    rc: Seconds
    """Activate to activate of the same bank."""
    ccd_l: Seconds
    """Read to read (write to write) in the same bank group."""
    rrd_s: Seconds
    """Activate to activate of another bank group."""
    rrd_l: Seconds
    """Activate to activate of the same bank group."""
    faw: Seconds
    """Window in which a channel activates at most four rows."""
    rtp: Seconds
    """Read to precharge of the same bank."""
    wr: Seconds
    """End of write data to precharge of the same bank."""
    wtr_s: Seconds
    """End of write data to read, another bank group."""
    wtr_l: Seconds
    """End of write data to read, the same bank group."""
    rtw: Seconds
    """Read to write, any bank."""
    refi: Seconds
    """One all-bank refresh per channel in this time; all channels refresh together."""
    rfc: Seconds
    """Duration of an all-bank refresh."""

    queue: Annotated[int, Field(ge=4, le=1024)]
    """Sectors that a channel's scheduler sees, for reads and for writes each."""
    latency: Seconds
    """Way of a miss from L2 to the channel and back, without the DRAM's own time."""

    @model_validator(mode="after")
    def _consistent(self) -> HbmSpec:
        for name in ("bank_groups", "banks_per_group", "page", "interleave", "group_bytes"):
            if not _power_of_two(getattr(self, name)):
                raise ValueError(f"{name}: a power of two")
        if self.burst != SECTOR / BURSTS:
            raise ValueError(f"burst: {SECTOR // BURSTS} B, a quarter of an L2 sector")
        for name in ("page", "interleave", "group_bytes"):
            if getattr(self, name) < SECTOR:
                raise ValueError(f"{name}: at least a sector ({SECTOR} B)")
        if self.group_bytes > self.page:
            raise ValueError("group_bytes: at most a page")
        if not self.ras < self.rc <= 2 * (self.ras + self.rp):
            raise ValueError("rc: about ras + rp")
        if self.rrd_l < self.rrd_s or self.wtr_l < self.wtr_s:
            raise ValueError("rrd_l and wtr_l are not shorter than rrd_s and wtr_s")
        if self.rfc >= self.refi / 2:
            raise ValueError("rfc: less than half of refi")
        if self.burst_seconds > self.rfc:
            raise ValueError("bandwidth: a burst takes longer than a refresh; is the unit right?")
        return self

    @property
    def burst_seconds(self) -> float:
        """Time of one burst on a pseudo-channel's bus.

        >>> round(HbmSpec.model_validate(EXAMPLE["hbm"]).burst_seconds * 1e9, 3)
        1.138
        """
        return self.burst * self.pseudo_channels / self.bandwidth

    @property
    def row_miss_seconds(self) -> float:
        """Unloaded read of a bank in which another row is open, to the first data."""
        return self.rp + self.rcd_read + self.cl


class L2Spec(Spec):
    """The shared cache: write-back, write-allocate, least recently used. Table ``[l2]``.

    Write-back because that is what makes a large L2 useful between kernels' stages: an intermediate
    that fits never travels to HBM. A write allocates its line without fetching it, since sectors
    (and bytes within a sector) have valid bits of their own. Any line may lie anywhere: sets and
    ways are not public, and with a hashed index they matter only close to the capacity.
    """

    capacity: Bytes
    line: Bytes
    """Bytes under one tag."""
    sector: Bytes
    """Bytes that are fetched and written back together: 128 B."""
    read_rate: BytesPerCycle
    """L2 to all cores together."""
    write_rate: BytesPerCycle
    """All cores together to L2."""
    core_read: BytesPerCycle
    """L2 to one core, all its engines together."""
    core_write: BytesPerCycle
    """One core to L2, all its engines together."""
    partial_line: Bytes
    """What an access to part of a line costs on top of its bytes (rates count it as bytes)."""
    latency: Cycles
    """Request of an engine to the data of a hit; of a write to its acknowledgement."""
    outstanding: Cycles
    """An engine has as many bytes under way as it moves in this time at its own rate."""
    atomic: Cycles
    """Between two atomic operations on the same sector."""

    @model_validator(mode="after")
    def _consistent(self) -> L2Spec:
        if not _power_of_two(self.line):
            raise ValueError("line: a power of two")
        if self.sector != SECTOR:
            raise ValueError(f"sector: {SECTOR} B, four bursts of the memory")
        if not self.sector <= self.line <= 4 * self.sector:
            raise ValueError("line: one, two or four sectors")
        if self.capacity % self.line:
            raise ValueError("capacity: a whole number of lines")
        if self.outstanding < self.latency:
            raise ValueError("outstanding: at least latency, or no engine ever reaches its rate")
        return self

    @property
    def lines(self) -> int:
        """Lines that fit."""
        return int(self.capacity // self.line)


EXAMPLE_TOML = """
[hbm]                       # a 950PR-like memory
capacity = "128 GB"         # published
bandwidth = "1.8 TB/s"      # derived: delivers the published 1.6 TB/s after refresh, row switches
pseudo_channels = 64        # assumed: two stacks as HBM3's
bank_groups = 4             # published: HBM3, Ramulator 2
banks_per_group = 4         # published: HBM3, Ramulator 2
page = "1 KiB"              # published: HBM3, Ramulator 2
burst = "32 B"              # published: HBM3, Ramulator 2
interleave = "512 B"        # assumed: one L2 line
group_bytes = "256 B"       # assumed: half a line, so that a line uses two bank groups
hash = true                 # assumed: usual in memory controllers
cl = "12.5 ns"              # published: HBM3, Ramulator 2: 20 clocks of 0.625 ns
cwl = "2.5 ns"              # derived: rtw = cl + a burst + 2 clocks - cwl
rcd_read = "19.375 ns"      # published: 31 clocks
rcd_write = "9.375 ns"      # published: 15 clocks
rp = "16.25 ns"             # published: 26 clocks
ras = "28.125 ns"           # published: 45 clocks
rc = "45 ns"                # published: 72 clocks
ccd_l = "2.5 ns"            # published: 4 clocks
rrd_s = "2.5 ns"            # published: 4 clocks
rrd_l = "3.125 ns"          # published: 5 clocks
faw = "15 ns"               # published: 24 clocks
rtp = "3.125 ns"            # assumed: 5 clocks
wr = "16.25 ns"             # assumed: 26 clocks
wtr_s = "4.375 ns"          # published: 7 clocks
wtr_l = "6.25 ns"           # published: 10 clocks
rtw = "12.5 ns"             # published: 20 clocks
refi = "3900 ns"            # published: 6240 clocks
rfc = "350 ns"              # published: all-bank, 16 Gb
queue = 64                  # assumed: sectors per channel
latency = "130 ns"          # derived: a miss takes about 550 cycles in all

[l2]
capacity = "128 MiB"        # published
line = "512 B"              # published
sector = "128 B"            # published
read_rate = 3200.0          # derived: B/cycle, 32 cores x 100; 5.28 TB/s
write_rate = 3200.0         # assumed: as reads
core_read = 100.0           # published: B/cycle, platform file
core_write = 100.0          # assumed: as reads
partial_line = "16 B"       # assumed: pieces below a line run somewhat slower
latency = 250               # assumed: cycles
outstanding = 660           # assumed: cycles; covers an unloaded miss of about 550
atomic = 4                  # assumed: cycles
"""
"""Both tables, as they would stand in a chip file."""

EXAMPLE: dict[str, Any] = tomllib.loads(EXAMPLE_TOML)
