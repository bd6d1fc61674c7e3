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

cdef enum:  # what a SIMT function asks of a sector
    GM_READ, GM_WRITE, GM_ATOMIC


cdef bint first_touch(Machine* m, int64_t sector) noexcept nogil:
    """Whether nobody has touched the sector before; from now on somebody has."""
    if sector >= m.cached_sectors or m.cached[sector >> 3] >> (sector & 7) & 1:
        return False
    m.cached[sector >> 3] |= <uint8_t> (1 << (sector & 7))
    return True


cdef int64_t sector_access(
    Machine* m, Sub* s, uint64_t address, int kind, int size, int64_t time) noexcept nogil:
    """One sector of global memory for a SIMT function; the cycle in which the answer is there.

    `address` is any byte of the sector, `kind` GM_READ (a fill, 128 bytes whatever was asked for),
    GM_WRITE (`size` of its bytes) or GM_ATOMIC (one operation on one element of `size` bytes; call
    once per operation, those on one sector follow each other). `time` is when the request leaves
    the sub-core, at or after `m.now`. A write is answered when L2 has taken it.

    Requests are served in the order of the calls: call in order of `time` within a sub-core and do
    not run far ahead of `m.now`, or sub-cores do not share the memory as they would. MSHRs, the
    coalescing into sectors and the return path are the caller's.
    """
    cdef int64_t sector = <int64_t> (address // SECTOR)
    cdef double done
    cdef bint fresh = first_touch(m, sector)
    if kind == GM_READ:
        m.read_bytes += SECTOR
        size = SECTOR
    else:
        m.write_bytes += size
    m.l2_free = max(m.l2_free, <double> time) + size / m.l2_rate
    done = m.l2_free + m.hit
    if fresh and kind != GM_WRITE:
        m.hbm_read += SECTOR
        m.hbm_free = max(m.hbm_free, <double> time) + SECTOR / m.hbm_rate
        done = max(m.hbm_free + m.miss, done)
    elif fresh:
        m.hbm_write += SECTOR
    if kind == GM_ATOMIC:
        done = max(done, m.atomic_free[sector % ATOMICS]) + m.atomic
        m.atomic_free[sector % ATOMICS] = done
    return <int64_t> ceil(done)


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
            for sector in range(first, last + 1):
                fresh += first_touch(m, sector)
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
