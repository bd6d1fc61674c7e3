# Requests of engines, a piece at a time, and sectors for SIMT. Part of _system.pyx.
#
# A piece goes through its core's port, through L2's port, and for the sectors that L2 does not have
# through HBM; the slowest says when it is there. Ports serve in order of arrival, whoever comes.

cdef inline double at_channels(Memory* m, double time) noexcept nogil:
    """When a miss of a request that came at `time` reaches its channel, refreshes left out."""
    return working(&m.t, time + (m.latency + m.t.latency) / 2)


cdef double fetch(Memory* m, int64_t line, int missing, bint keep, double ready) noexcept nogil:
    """The missing sectors of a line from HBM; the later of `ready` and when they are there."""
    cdef int64_t address = line << m.line_bits
    cdef int per = m.chunk // SECTOR, part
    cdef double end = 0
    while missing:
        part = missing & ((1 << per) - 1)
        if part:
            end = max(end, read_piece(m, <uint64_t> address, ones(part) * BURSTS, m.now))
            m.hbm_read += ones(part) * SECTOR
        missing >>= per
        address += m.chunk
    end = elapsed(&m.t, end) + (m.latency + m.t.latency) / 2
    if keep:
        filling(m, line, end)
    return max(ready, end)


cdef inline double port(double* free, double time, double cost, double rate) noexcept nogil:
    """End of a transfer through a port that serves in order of arrival."""
    free[0] = max(free[0], time) + cost / rate
    return free[0]


cdef double ports(Memory* m, int core, bint write, double time, double cost) noexcept nogil:
    """The data's way between L2 and a core."""
    if write:
        return max(port(&m.core_write_free[core], time, cost, m.core_write),
                   port(&m.write_free, time, cost, m.write_rate)) + m.latency
    return max(port(&m.core_read_free[core], time, cost, m.core_read),
               port(&m.read_free, time, cost, m.read_rate)) + m.latency


cdef void begin(Memory* m, double time) noexcept nogil:
    if time != m.time:
        m.time = time
        m.now = at_channels(m, time)
    m.drained = 0


cdef double room_for_writes(Memory* m) noexcept nogil:
    """When the write-backs that this request caused fit the channels' queues."""
    if not m.drained:
        return 0
    return elapsed(&m.t, max(m.drained - m.queue * BURSTS * m.t.burst, 0))


cdef inline bint next_row(Request* r) noexcept nogil:
    """Go on to the next row where this one is done; False: it was the last."""
    if r.done_bytes >= r.row:
        r.done_bytes = 0
        r.done_rows += 1
    if r.done_rows >= r.rows:
        r.done_rows = 0
        r.done_planes += 1
    return r.done_planes < r.planes and r.row > 0 and r.rows > 0


cdef Answer serve(Memory* m, Request* r, double time, double most) noexcept nogil:
    """The next piece of a request that leaves the engine at `time`: at most `most` bytes.

    What L2 has goes in pieces of half of what an engine may have under way; of what HBM must bring,
    so that engines share it evenly and keep their windows full, in pieces of an eighth.
    """
    cdef Answer a
    cdef double ready = time
    # Integers, and as exact as if they were added up as doubles: bytes, those of misses four times.
    cdef int64_t moved = 0, weight = 0, bytes_
    cdef int64_t enough = <int64_t> ceil(most), enough_weight = <int64_t> ceil(most / 2)
    cdef uint64_t at, end, stop
    cdef int64_t line, size = (<int64_t> 1) << m.line_bits
    cdef uint64_t others = (size - 1) >> SECTOR_BITS    # sectors of a line but the first
    cdef uint32_t mask, whole = (<uint32_t> 2 << others) - 1
    cdef int missing
    begin(m, time)
    a.cost, a.missed, a.finished = 0, 0, 0
    while True:
        if not next_row(r):
            a.finished = 1
            break
        if moved >= enough or weight >= enough_weight:
            break
        at = r.address + <uint64_t> (r.done_planes * r.plane + r.done_rows * r.pitch)
        end = at + <uint64_t> r.row
        at += <uint64_t> r.done_bytes
        while at < end and moved < enough and weight < enough_weight:
            line = <int64_t> (at >> m.line_bits)
            stop = min((<uint64_t> line + 1) << m.line_bits, end)
            bytes_ = <int64_t> (stop - at)
            mask = whole
            if bytes_ != size:
                mask = (<uint32_t> 2 << ((stop - 1) >> SECTOR_BITS & others)) - (
                    <uint32_t> 1 << (at >> SECTOR_BITS & others))
                a.cost += m.partial
            if line < m.lines and not hit(m, line, mask, r.write, r.keep):
                missing = touch(m, line, mask, r.write, r.keep, &ready)
                if missing and not r.write:
                    ready = fetch(m, line, missing, r.keep, ready)
                    a.missed = 1
                    weight += 3 * bytes_
            moved += bytes_
            weight += bytes_
            at = stop
        r.done_bytes = r.row - <int64_t> (end - at)
    a.cost += moved
    if r.write:
        m.l2_write += moved
    else:
        m.l2_read += moved
    a.ready = max(ports(m, r.core, r.write, time, a.cost), ready)
    ready = room_for_writes(m)
    if ready > a.ready:
        a.ready, a.missed = ready, 1
    return a


cdef double serve_sector(
    Memory* m, int core, uint64_t address, int kind, int size, double time) noexcept nogil:
    """One sector of a SIMT function; see `sector_access` of the engine."""
    cdef int64_t line = <int64_t> (address >> m.line_bits), sector = <int64_t> (address // SECTOR)
    cdef uint32_t mask = 1 << (sector & ((1 << (m.line_bits - 7)) - 1))
    cdef int missing = 0
    cdef double ready = time, cost = SECTOR if kind == GM_READ else size
    cdef Atomic* a
    begin(m, time)
    if line < m.lines:
        if kind == GM_ATOMIC:       # what L2 adds to must be there
            missing = touch(m, line, mask, False, True, &ready)
            if missing:
                ready = fetch(m, line, missing, True, ready)
            missing = 0
        missing = touch(m, line, mask, kind != GM_READ, True, &ready)
        if missing and kind == GM_READ:
            ready = fetch(m, line, missing, True, ready)
    if kind == GM_READ:
        m.l2_read += SECTOR
    else:
        m.l2_write += size
    ready = max(ready, ports(m, core, kind != GM_READ, time, cost + m.partial))
    ready = max(ready, room_for_writes(m))
    if kind == GM_ATOMIC:
        a = &m.atomics[sector % ATOMICS]
        if a.sector != sector:
            a.sector, a.free = sector, 0
        ready = a.free = max(ready, a.free) + m.atomic
    return ready


cdef void memory_warm(Memory* m, uint64_t address, int64_t size) noexcept nogil:
    """As if the bytes had been read before, in ascending order."""
    cdef int64_t line, last = <int64_t> ((address + <uint64_t> size - 1) >> m.line_bits)
    cdef double ready = 0
    for line in range(<int64_t> (address >> m.line_bits), last + 1 if size > 0 else 0):
        if line < m.lines:
            touch(m, line, (1 << ((1 << m.line_bits) // SECTOR)) - 1, False, True, &ready)
