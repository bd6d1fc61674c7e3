# The seam to the memory system. Part of _engine.pyx.
#
# A pipe asks with `gm_request`; later the memory system says that the pipe may ask for more
# (EV_ISSUED, with the account of that time) and that the last byte is there (EV_ARRIVED).
#
# Until emulator/npu/memory takes over, this is the simplest model with the right rates: the first
# touch of a 128-byte sector comes from HBM, every later one from L2; both serve requests in order of
# arrival at their full rate. There is no eviction and no bank in it.

cdef enum:
    SECTOR = 128


cdef void gm_request(
    Machine* m, Sub* s, Pipe* p, bint write, uint64_t address, int64_t row, int64_t rows,
    int64_t pitch, int64_t planes, int64_t plane, bint stream, double rate,
    int overhead) noexcept nogil:
    """Move `planes` times `rows` rows of `row` bytes between global memory and a sub-core.

    The pipe prepares for `overhead` cycles, then moves at `rate` bytes per cycle at most.
    """
    cdef int64_t start = m.now + overhead, own, issued, finish, latency = m.hit, i, j
    cdef int64_t first, last, sector, fresh = 0, touched = 0
    cdef uint64_t at
    cdef int reason = R_L2, number = <int> (p.asked % REQUESTS)
    if row <= 0 or rows <= 0 or planes <= 0:
        account(p, start, R_BUSY)
        p.free_at = start
        p.done_at = max(p.done_at, start)
        return
    for j in range(planes):
        for i in range(rows):
            at = address + <uint64_t> (j * plane + i * pitch)
            first, last = <int64_t> (at // SECTOR), <int64_t> ((at + <uint64_t> row - 1) // SECTOR)
            touched += last - first + 1
            for sector in range(first, min(last + 1, m.cached_sectors)):
                if not m.cached[sector >> 3] >> (sector & 7) & 1:
                    m.cached[sector >> 3] |= <uint8_t> (1 << (sector & 7))
                    fresh += 1
    if write:
        m.write_bytes += row * rows * planes
        m.hbm_write += fresh * SECTOR
    else:
        m.read_bytes += row * rows * planes
        m.hbm_read += fresh * SECTOR
    own = start + <int64_t> ceil(row * rows * planes / rate)
    m.l2_free = max(m.l2_free, <double> start) + touched * SECTOR / m.l2_rate
    issued = max(own, <int64_t> ceil(m.l2_free))
    if fresh:
        latency = m.miss
        m.hbm_free = max(m.hbm_free, <double> start) + fresh * SECTOR / m.hbm_rate
        if <int64_t> ceil(m.hbm_free) > issued:
            issued = <int64_t> ceil(m.hbm_free)
            reason = R_HBM
    finish = issued + latency
    p.here[number] = 0
    p.asked += 1
    p.state = P_MEMORY
    account(p, own, R_BUSY)
    # Both answers are known at once here; the real memory system sends them when it knows them.
    send(m, issued, EV_ISSUED, s, p, 0, reason)
    send(m, finish, EV_ARRIVED, s, p, number, R_HBM if fresh else R_L2)


cdef void gm_issued(Machine* m, Sub* s, Pipe* p, int reason) noexcept nogil:
    """The pipe may go on; what it spent beyond its own rate was the memory's fault."""
    account(p, m.now, reason)
    p.free_at = max(p.free_at, m.now)
    p.done_at = max(p.done_at, p.free_at)
    p.state = P_FREE
    pump(m, s, p)


cdef void gm_arrived(Machine* m, Sub* s, Pipe* p, int number, int reason) noexcept nogil:
    """A request is complete: raise the flags that waited for it."""
    p.here[number] = 1
    p.tail = reason
    p.done_at = max(p.done_at, m.now)
    while p.arrived < p.asked and p.here[p.arrived % REQUESTS]:
        p.arrived += 1
    while p.signal_count and p.signals[p.signal_head].need <= p.arrived:
        raise_signal(m, s, p, &p.signals[p.signal_head])
        p.signal_head = (p.signal_head + 1) % SIGNALS
        p.signal_count -= 1
    pump(m, s, p)
