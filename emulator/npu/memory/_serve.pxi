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
    cdef int per = m.chunk // SECTOR, part, empty
    cdef double end = 0
    while missing:
        empty = __builtin_ctz(missing) // per
        address += empty * m.chunk
        missing >>= empty * per
        part = missing & ((1 << per) - 1)
        end = max(end, read_piece(m, <uint64_t> address, ones(part) * BURSTS, m.now))
        m.hbm_read += ones(part) * SECTOR
        missing &= ~part
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


cdef bint serve_rows(
    Memory* m, Request* r, int64_t most, Answer* a, double* there, int64_t* bytes_) noexcept nogil:
    """Go on with a request until bytes, those of misses four times, come to `most`; False: they did.

    `there` is put off to when the data is in L2, `bytes_` counts it. This loop is most of what a big
    product costs: what does not change in it is in variables of its own.
    """
    cdef int bits = m.line_bits, missing
    cdef int64_t size = (<int64_t> 1) << bits, lines = m.lines, row = r.row, rows = r.rows
    cdef int64_t pitch = r.pitch, done = r.done_rows, weight = 0, moved = 0, part = 0, same = -1
    cdef int64_t line, begin_, at, end, stop, within
    cdef bint write = r.write, keep = r.keep
    cdef uint32_t mask = 0, wanted = 0
    cdef double ready = there[0], cost = 0, partial = m.partial
    while r.done_planes < r.planes:
        begin_ = <int64_t> r.address + r.done_planes * r.plane + done * pitch
        while done < rows:
            at = begin_ + r.done_bytes
            end = begin_ + row
            while at < end:
                if weight >= most:
                    r.done_bytes, r.done_rows = at - begin_, done
                    there[0], bytes_[0], a.cost = ready, moved, cost
                    return False
                line = at >> bits
                within = at & (size - 1)
                stop = min(size - within, end - at)
                if stop != part or within != same:  # rows are alike
                    part, same = stop, within
                    mask = (<uint32_t> 2 << ((within + stop - 1) >> SECTOR_BITS)) - (
                        <uint32_t> 1 << (within >> SECTOR_BITS))
                    wanted = mask << 4 | mask if write else mask
                if stop != size:
                    cost += partial
                if line < lines and not hit(m, line, wanted, keep, &ready):
                    missing = touch(m, line, mask, write, keep, &ready)
                    if missing and not write:
                        ready = fetch(m, line, missing, keep, ready)
                        a.missed = 1
                        weight += 3 * stop
                moved += stop
                weight += stop
                at += stop
            r.done_bytes = 0
            begin_ += pitch
            done += 1
        done = 0
        r.done_planes += 1
    r.done_rows = 0
    there[0], bytes_[0], a.cost = ready, moved, cost
    return True


cdef Answer serve(Memory* m, Request* r, double time, double most) noexcept nogil:
    """The next piece of a request that leaves the engine at `time`: at most `most` bytes.

    What L2 has goes in pieces of half of what an engine may have under way; of what HBM must bring,
    so that engines share it evenly and keep their windows full, in pieces of an eighth.
    """
    cdef Answer a
    cdef double ready = time
    cdef int64_t moved = 0
    begin(m, time)
    a.cost, a.missed = 0, 0
    a.finished = serve_rows(m, r, <int64_t> ceil(most / 2), &a, &ready, &moved)
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
