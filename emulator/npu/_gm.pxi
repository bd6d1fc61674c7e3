# The seam to the memory system (emulator/npu/memory). Part of _engine.pyx.
#
# A pipe asks with `gm_request`. Its request leaves in pieces, one event each: a piece goes once the
# one before has passed the engine and the window of what the engine may have under way has room.
# After the last piece the pipe may ask for more (EV_ISSUED); when the last byte is there the flags
# that waited for it go up (EV_ARRIVED). Time in which the engine could have moved bytes but its
# window was full is charged to what the oldest piece in it waits for: HBM or L2.


cdef int64_t sector_access(
    Machine* m, int core, uint64_t address, int kind, int size, int64_t time) noexcept nogil:
    """One sector of global memory for a SIMT function; the cycle in which the answer is there.

    `address` is any byte of the sector, `kind` GM_READ (a fill, 128 bytes whatever was asked for),
    GM_WRITE (`size` of its bytes) or GM_ATOMIC (one operation on one element of `size` bytes; call
    once per operation, those on one sector follow each other). `time` is when the request leaves
    the sub-core, at or after `m.now`. A write is answered when L2 has taken it.

    Requests are served in the order of the calls: call in order of `time` within a sub-core and do
    not run far ahead of `m.now`, or sub-cores do not share the memory as they would. MSHRs, the
    coalescing into sectors and the return path are the caller's.
    """
    return up_to(serve_sector(m.memory, core, address, kind, size, <double> time))


cdef void gm_request(
    Machine* m, Sub* s, Pipe* p, bint write, uint64_t address, int64_t row, int64_t rows,
    int64_t pitch, int64_t planes, int64_t plane, bint stream, double rate,
    int overhead) noexcept nogil:
    """Move `planes` times `rows` rows of `row` bytes between global memory and a sub-core.

    The pipe prepares for `overhead` cycles, then moves at `rate` bytes per cycle at most.
    """
    cdef int64_t start = m.now + overhead
    cdef Transfer* f = &p.transfer
    cdef Request* r = &f.request
    account(p, start, R_BUSY)
    if row <= 0 or rows <= 0 or planes <= 0:
        p.free_at = start
        p.done_at = max(p.done_at, start)
        return
    if pitch == row:            # rows that touch are one, and so are planes
        row, rows, pitch = row * rows, 1, row * rows
        if plane == row:
            row, planes = row * planes, 1
    memset(r, 0, sizeof(Request))
    r.address, r.row, r.rows, r.pitch, r.planes, r.plane = address, row, rows, pitch, planes, plane
    r.write, r.keep, r.core = write, not stream, s.core
    f.rate, f.next, f.op = rate, <double> start, p.current
    p.asked += 1
    p.state = P_MEMORY
    p.here[(p.asked - 1) & (REQUESTS - 1)] = 0
    gm_piece(m, s, p)


cdef double window_opens(Machine* m, Transfer* f, double size, int* reason) noexcept nogil:
    """When another piece may leave, at least an eighth of the window; why not before."""
    cdef Flight* oldest
    cdef double time = f.next
    while f.flights:
        oldest = &f.flight[f.first]
        if oldest.arrives > time:
            if f.flights < FLIGHTS and f.under_way <= size * 7 / 8:
                break
            time = oldest.arrives
            reason[0] = oldest.reason
        f.under_way -= oldest.size
        f.first = (f.first + 1) & (FLIGHTS - 1)
        f.flights -= 1
    if not f.flights:
        f.first = 0     # few places of the ring, and those in the host's caches
    return time


cdef void gm_piece(Machine* m, Sub* s, Pipe* p) noexcept nogil:
    """The next piece of the pipe's request, or the event that brings it here when it may leave."""
    cdef Transfer* f = &p.transfer
    cdef double size = m.memory.outstanding * f.rate, own, arrives
    cdef int reason = R_L2
    cdef double time = window_opens(m, f, size, &reason)
    cdef int64_t before = p.busy
    cdef Answer a
    cdef Flight* g
    if time > f.next:
        f.next = time
        if time > m.now + m.spec.dma_overhead:
            f.reason = reason
            send(m, up_to(time), EV_PIECE, s, p, 0, 0)
            return
    account(p, <int64_t> time, f.reason if f.reason else reason)
    f.reason = 0
    a = serve(m.memory, &f.request, time, size - f.under_way)
    if m.memory.failed:
        fault(m, FAULT_MEMORY, s, p.current, -1, 0, 0, 0)
        return
    own = time + a.cost / f.rate
    account(p, <int64_t> own, R_BUSY)
    m.uses[f.op].busy += p.busy - before
    arrives = max(a.ready, f.arrived + a.cost / f.rate)
    f.arrived, f.next = arrives, own
    g = &f.flight[(f.first + f.flights) & (FLIGHTS - 1)]
    g.arrives, g.size, g.reason = arrives, a.cost, R_HBM if a.missed else R_L2
    f.flights += 1
    f.under_way += a.cost
    if a.finished:
        send(m, up_to(own), EV_ISSUED, s, p, 0, R_BUSY)
        send(m, up_to(arrives), EV_ARRIVED, s, p, <int> ((p.asked - 1) & (REQUESTS - 1)), g.reason)
    else:
        send(m, up_to(own), EV_PIECE, s, p, 0, 0)


cdef void gm_issued(Machine* m, Sub* s, Pipe* p, int reason) noexcept nogil:
    """The pipe may go on."""
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
    while p.arrived < p.asked and p.here[p.arrived & (REQUESTS - 1)]:
        p.arrived += 1
    while p.signal_count and p.signals[p.signal_head].need <= p.arrived:
        raise_signal(m, s, p, &p.signals[p.signal_head])
        p.signal_head = (p.signal_head + 1) & (SIGNALS - 1)
        p.signal_count -= 1
    pump(m, s, p)
