"""The NPU's memory system: L2 and HBM, shared by all cores.

Read in this order: _system.pxd (what there is), _serve.pxi (what an engine gets), _l2.pxi (what is
there), _hbm.pxi (what HBM takes), _referee.pxi (the same, command by command). The engine calls
`serve` and `serve_sector`; `MemorySystem` is for tests, that of HBM's model by the referee first.
"""

from libc.math cimport INFINITY, ceil
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

cimport cython

import numpy as np

cdef enum:
    SECTOR = 128
    SECTOR_BITS = 7
    BURSTS = 4              # of a sector
    BURST = 32              # bytes

include "_hbm.pxi"
include "_l2.pxi"
include "_serve.pxi"
include "_referee.pxi"


cdef void set_timing(Timing* t, object n):
    t.burst, t.cl, t.cwl = n["burst"], n["cl"], n["cwl"]
    t.rcd_read, t.rcd_write, t.rp = n["rcd_read"], n["rcd_write"], n["rp"]
    t.ras, t.rc, t.ccd_l, t.rrd_s, t.rrd_l = n["ras"], n["rc"], n["ccd_l"], n["rrd_s"], n["rrd_l"]
    t.faw, t.rtp, t.wr, t.wtr_s, t.wtr_l = n["faw"], n["rtp"], n["wr"], n["wtr_s"], n["wtr_l"]
    t.rtw, t.refi, t.rfc, t.latency = n["rtw"], n["refi"], n["rfc"], n["hbm_latency"]


cdef void set_map(Map* p, object n):
    p.channels, p.channel_bits = n["channels"], n["channel_bits"]
    p.interleave_bits, p.group_shift = n["interleave_bits"], n["group_shift"]
    p.group_bits, p.bank_bits, p.block_bits = n["group_bits"], n["bank_bits"], n["block_bits"]
    p.hashed = n["hash"]


cdef Memory* memory_new(object n, int64_t bytes_) except NULL:
    """The memory system of `emulator.npu.memory.numbers`, for addresses below `bytes_`."""
    cdef Memory* m = <Memory*> calloc(1, sizeof(Memory))
    cdef int64_t i, j
    if m == NULL:
        raise MemoryError
    set_timing(&m.t, n)
    set_map(&m.map, n)
    m.queue, m.chunk = n["queue"], n["chunk"]
    # In the long run a channel activates no faster than that; and what it costs to write and go back.
    m.act_gap = max(m.t.faw / 4, m.t.rrd_s)
    m.turn = max(m.t.rtw + m.t.cwl - m.t.cl - m.t.burst, 0) + m.t.wtr_s + m.t.cl
    m.line_bits, m.capacity, m.cores = n["line_bits"], n["lines"], n["cores"]
    m.generation = max(m.capacity // RESOLUTION, 1)
    m.read_rate, m.write_rate = n["read_rate"], n["write_rate"]
    m.core_read, m.core_write = n["core_read"], n["core_write"]
    m.partial, m.latency, m.atomic = n["partial_line"], n["l2_latency"], n["atomic"]
    m.outstanding = n["outstanding"]
    m.lines = (bytes_ >> m.line_bits) + 1
    m.oldest = m.current = 1
    m.time = -1
    m.room = 4096
    m.channels = <Channel*> calloc(m.map.channels, sizeof(Channel))
    m.stamps = <uint32_t*> calloc(m.lines, sizeof(uint32_t))
    m.counts = <int32_t*> calloc(m.room, sizeof(int32_t))
    m.log_starts = <int64_t*> calloc(m.room, sizeof(int64_t))
    m.log_room = 4096
    m.log = <uint32_t*> calloc(m.log_room, sizeof(uint32_t))
    m.core_read_free = <double*> calloc(m.cores, sizeof(double))
    m.core_write_free = <double*> calloc(m.cores, sizeof(double))
    if (m.channels == NULL or m.stamps == NULL or m.counts == NULL or m.log_starts == NULL
            or m.log == NULL or m.core_read_free == NULL or m.core_write_free == NULL):
        memory_free(m)
        raise MemoryError
    for i in range(m.map.channels):
        m.channels[i].waiting = <Write*> calloc(m.queue * BURSTS, sizeof(Write))
        if m.channels[i].waiting == NULL:
            memory_free(m)
            raise MemoryError
        for j in range(BANKS_MOST):
            m.channels[i].banks[j].row = -1
    for i in range(ATOMICS):
        m.atomics[i].sector = -1
    for i in range(PENDING):
        m.fills[i].line = -1
    return m


cdef void memory_free(Memory* m) noexcept nogil:
    cdef int64_t i
    if m == NULL:
        return
    for i in range(m.map.channels if m.channels != NULL else 0):
        free(m.channels[i].waiting)
    free(m.channels)
    free(m.stamps)
    free(m.counts)
    free(m.log_starts)
    free(m.log)
    free(m.core_read_free)
    free(m.core_write_free)
    free(m)


@cython.final
cdef class MemorySystem:
    """A memory system without cores, for tests; `size` bytes of it are behind L2.

    `model` and `referee` are HBM alone: when requests that reach the channels at given times are
    there. Requests are arrays `times` (cycles, ascending), `addresses`, `sizes` (bytes, multiples of a
    burst) and `writes`; the answer is an array of cycles. `model` is what the engine uses: reads in
    sectors, and writes as L2 writes back, whose single ends it does not tell (0). `referee` issues every
    command of every 32-byte burst.
    """

    cdef Memory* m

    def __cinit__(self, numbers, int64_t size=0):
        self.m = memory_new(numbers, size)

    def __dealloc__(self):
        memory_free(self.m)

    def model(self, const double[::1] times, const int64_t[::1] addresses,
              const int64_t[::1] sizes, const uint8_t[::1] writes):
        """End of every request by the model."""
        cdef int64_t i, at, stop, n
        cdef Memory* m = self.m
        ends = np.zeros(len(times))
        cdef double[::1] view = ends
        with nogil:
            for i in range(times.shape[0]):
                m.now = working(&m.t, times[i])
                at, stop = addresses[i], addresses[i] + sizes[i]
                while at < stop:
                    n = min(m.chunk - at % m.chunk, stop - at)
                    if writes[i]:
                        write_piece(m, <uint64_t> at, <int> (n // BURST))
                        at += n
                        continue
                    view[i] = max(view[i], elapsed(&m.t, read_piece(
                        m, <uint64_t> at, <int> (n // BURST), m.now)))
                    at += n
            m.time = -1     # `now` is not its
        return ends

    def busy_until(self):
        """When the last channel has written what it still holds, by the model."""
        cdef int64_t i
        for i in range(self.m.map.channels):
            drain(self.m, &self.m.channels[i])
        return elapsed(&self.m.t, self.m.drained)

    def sectors(self, const double[::1] times, const int64_t[::1] addresses,
                const int32_t[::1] kinds):
        """When one sector after another is there for core 0; kinds: 0 read, 1 write, 2 atomic."""
        cdef int64_t i
        ends = np.zeros(len(times))
        cdef double[::1] view = ends
        for i in range(times.shape[0]):
            view[i] = serve_sector(self.m, 0, <uint64_t> addresses[i], kinds[i], 4, times[i])
        return ends

    def spots(self, const int64_t[::1] addresses):
        """[n, 4]: channel, bank group, bank (of all groups) and row of every address."""
        cdef int64_t i
        cdef Spot s
        found = np.zeros((len(addresses), 4), np.int64)
        cdef int64_t[:, ::1] view = found
        for i in range(addresses.shape[0]):
            s = locate(&self.m.map, <uint64_t> addresses[i])
            view[i, 0], view[i, 1], view[i, 2], view[i, 3] = s.channel, s.group, s.bank, s.row
        return found

    def referee(self, const double[::1] times, const int64_t[::1] addresses,
                const int64_t[::1] sizes, const uint8_t[::1] writes):
        """End of every request, command by command."""
        cdef int64_t i, at, stop, n, count = 0, channels = self.m.map.channels, k
        cdef Spot s
        for i in range(sizes.shape[0]):
            count += (addresses[i] + sizes[i] + SECTOR - 1) // SECTOR - addresses[i] // SECTOR
        cdef Entry* entries = <Entry*> malloc((count + 1) * sizeof(Entry))
        cdef Entry* parts = <Entry*> malloc((count + 1) * sizeof(Entry))
        cdef int64_t[::1] starts = np.zeros(2 * channels + 1, np.int64)
        cdef int32_t[::1] lists = np.zeros(count + 1, np.int32)
        cdef Referee r
        ends = np.zeros(len(times))
        cdef double[::1] view = ends
        r.queues[0].size = r.queues[1].size = self.m.queue
        r.queues[0].items = <Entry*> malloc(self.m.queue * sizeof(Entry))
        r.queues[1].items = <Entry*> malloc(self.m.queue * sizeof(Entry))
        try:
            if (entries == NULL or parts == NULL or r.queues[0].items == NULL
                    or r.queues[1].items == NULL):
                raise MemoryError
            k = 0
            for i in range(times.shape[0]):
                at, stop = addresses[i], addresses[i] + sizes[i]
                while at < stop:
                    n = min(SECTOR - at % SECTOR, stop - at)
                    s = locate(&self.m.map, <uint64_t> at)
                    parts[k].arrival, parts[k].row, parts[k].bank = times[i], s.row, s.bank
                    parts[k].group, parts[k].request = s.group, <int32_t> i
                    parts[k].bursts = <int32_t> (n // BURST)
                    lists[k] = 2 * s.channel + (1 if writes[i] else 0)
                    starts[lists[k] + 1] += 1
                    at += n
                    k += 1
            for i in range(2 * channels):
                starts[i + 1] += starts[i]
            fills = np.asarray(starts).copy()
            self._place(entries, parts, lists, fills, count)
            with nogil:
                for i in range(channels):
                    referee_channel(
                        &self.m.t, &r, entries + starts[2 * i], starts[2 * i + 1] - starts[2 * i],
                        entries + starts[2 * i + 1], starts[2 * i + 2] - starts[2 * i + 1],
                        &view[0])
        finally:
            free(entries)
            free(parts)
            free(r.queues[0].items)
            free(r.queues[1].items)
        return ends

    cdef _place(self, Entry* entries, const Entry* parts, const int32_t[::1] lists,
                int64_t[::1] fills, int64_t count):
        """Each part behind those of its list that came before."""
        cdef int64_t i
        for i in range(count):
            entries[fills[lists[i]]] = parts[i]
            fills[lists[i]] += 1
