# Work on values that can wait. Part of _engine.pyx.
#
# What MTE, M and FIX do to values has no bearing on time: when they issue, sizes, bounds, races and
# poison are settled, and the rest, with pointers and numbers in it, goes to the core's tape. The
# tapes are worked off later, each in order, several cores at once. Two things keep this unseen:
# - who looks at values at once (a vector function, the scalar unit) has them brought up to date
#   first (`bring_up`, `bring_up_all`);
# - all cores share global memory. A *segment* of the tapes ends before an access that may touch bytes
#   which another core touched in it, one of the two writing (`keep_apart`); no core begins a segment
#   before all have ended the one before. So every byte sees its accesses in the order of events,
#   races among them included, whatever the number of threads.

cdef extern from *:
    """
#include <sched.h>
static inline int64_t presil_take(int64_t *count) {
    return __atomic_fetch_add(count, 1, __ATOMIC_ACQ_REL);
}
static inline void presil_await(int64_t *count, int64_t least) {
    while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < least) sched_yield();
}
    """
    int64_t presil_take(int64_t* count) noexcept nogil
    void presil_await(int64_t* count, int64_t least) noexcept nogil

# ---- deferring -----------------------------------------------------------------------------------

cdef Work* defer(Machine* m, Sub* s, int kind, int op) noexcept nogil:
    """A new item on the sub-core's core's tape, all zero; NULL: out of memory."""
    cdef Tape* t = &m.tapes[s.core]
    cdef Work* w
    cdef int capacity
    if t.count == t.capacity:
        capacity = max(2 * t.capacity, 64)
        w = <Work*> realloc(t.items, capacity * sizeof(Work))
        if w == NULL:
            fault(m, FAULT_MEMORY, s, op, -1, 0, 0, 0)
            return NULL
        t.items, t.capacity = w, capacity
    w = &t.items[t.count]
    memset(w, 0, sizeof(Work))
    w.kind, w.op, w.segment = kind, op, m.segment
    if not m.pending:
        m.first_segment = m.segment
    t.count += 1
    m.pending += 1
    if m.pending >= m.most_work:
        m.pause = 1
    return w


cdef void defer_copy(
    Machine* m, Sub* s, int op, uint8_t* dst, const uint8_t* src, int64_t row, int64_t rows,
    int64_t dst_pitch, int64_t src_pitch) noexcept nogil:
    """`rows` rows of `row` bytes."""
    cdef Work* w
    if row <= 0 or rows <= 0:
        return
    w = defer(m, s, WORK_COPY, op)
    if w != NULL:
        w.dst, w.src, w.n, w.rows = dst, src, row, rows
        w.dst_pitch, w.src_pitch = dst_pitch, src_pitch


cdef void defer_turn(
    Machine* m, Sub* s, int op, int width, uint8_t* dst, const uint8_t* src, int64_t n, int64_t rows,
    int64_t dst_pitch, int64_t src_pitch, int64_t first) noexcept nogil:
    """`rows` rows of n elements, as columns from `first` on."""
    cdef Work* w
    if n <= 0 or rows <= 0:
        return
    w = defer(m, s, WORK_TURN, op)
    if w != NULL:
        w.dst, w.src, w.n, w.rows, w.width, w.k = dst, src, n, rows, width, first
        w.dst_pitch, w.src_pitch = dst_pitch, src_pitch


# ---- segments ------------------------------------------------------------------------------------

cdef bint keep_apart(Machine* m, Tensor* t, const Access* a, int core, int64_t granule,
                     int own) noexcept nogil:
    """Whether a new segment must begin before this access to a granule.

    A granule remembers one reader and one writer; `t.mixed` says in which segment it has had more
    than one core, so that nothing is known of the others, and with a minus, in which it has had one
    core several times, so that not all of its bytes are known.
    """
    cdef int w = t.last_write[granule], r = t.last_read[granule]
    cdef bint written = w >= 0 and w != own and m.records[w].segment == m.segment
    cdef bint read = r >= 0 and r != own and m.records[r].segment == m.segment
    cdef bint several = t.mixed[granule] == -m.segment, again = written if a.write else read
    if t.mixed[granule] == m.segment and (a.write or written):
        return True
    written = written and m.subs[m.records[w].sub].core != core
    read = read and m.subs[m.records[r].sub].core != core
    if ((written and (several or overlap(a, &m.records[w].access)))
            or (read and a.write and (several or overlap(a, &m.records[r].access)))):
        return True
    if again and not written and not read and t.mixed[granule] != m.segment:
        t.mixed[granule] = -m.segment
    if written or read:
        t.mixed[granule] = m.segment
    return False


# ---- doing ---------------------------------------------------------------------------------------

cdef void turn(const Work* w) noexcept nogil:
    """Rows become columns, a block of rows at a time so that the host's caches hold them."""
    cdef int64_t first, end, i, j
    cdef uint8_t* dst
    cdef const uint8_t* src
    for first in range(0, w.rows, 32):
        end = min(first + 32, w.rows)
        for j in range(w.n):
            dst = w.dst + j * w.dst_pitch
            src = w.src + first * w.src_pitch
            if w.width == WIDTH_B16:
                for i in range(first, end):
                    (<uint16_t*> dst)[w.k + i] = (<const uint16_t*> src)[j]
                    src += w.src_pitch
            elif w.width == WIDTH_B8:
                for i in range(first, end):
                    dst[w.k + i] = src[j]
                    src += w.src_pitch
            else:
                for i in range(first, end):
                    put(dst, w.k + i, w.width, get(src, j, w.width))
                    src += w.src_pitch


cdef void do_work(Machine* m, Worker* h, const Work* w) noexcept nogil:
    cdef const Op* o = &m.ops[w.op]
    cdef int64_t i
    if w.kind == WORK_COPY:
        if w.dst_pitch == w.n and w.src_pitch == w.n:
            memcpy(w.dst, w.src, w.rows * w.n)
        else:
            for i in range(w.rows):
                memcpy(w.dst + i * w.dst_pitch, w.src + i * w.src_pitch, w.n)
    elif w.kind == WORK_TURN:
        turn(w)
    elif w.kind == WORK_FILL:
        for i in range(w.rows):
            fill(w.dst + i * w.dst_pitch, w.n if i < w.k else 0, w.cols, w.width, w.pad)
    elif w.kind == WORK_MMAD:
        do_mmad(m, h, o, w)
    elif w.kind == WORK_FIX:
        do_fix(h, o, w)


cdef void work_off(Machine* m, Worker* h, Tape* t, int segment) noexcept nogil:
    """A tape's items of segments up to this one."""
    while t.at < t.count and t.items[t.at].segment <= segment:
        do_work(m, h, &t.items[t.at])
        t.at += 1


cdef void bring_up_all(Machine* m) noexcept nogil:
    """Everything that was deferred, now and on this thread."""
    cdef int segment, i
    if not m.pending:
        return
    for segment in range(m.first_segment, m.segment + 1):
        for i in range(m.spec.cores):
            work_off(m, &m.workers[0], &m.tapes[i], segment)
    forget(m)


cdef void bring_up(Machine* m, Sub* s) noexcept nogil:
    """Everything that the local memories of the sub-core's core wait for."""
    cdef Tape* t
    if not m.pending:
        return
    t = &m.tapes[s.core]
    if t.at == t.count:
        return
    if m.first_segment != m.segment:
        bring_up_all(m)
        return
    m.pending -= t.count - t.at
    work_off(m, &m.workers[0], t, m.segment)
    t.at = t.count = 0


cdef void forget(Machine* m) noexcept nogil:
    """All tapes are done."""
    cdef int i
    for i in range(m.spec.cores):
        m.tapes[i].at = m.tapes[i].count = 0
    m.pending = 0
    m.first_segment = m.segment


cdef void work_along(Machine* m, Worker* h) noexcept nogil:
    """A host thread's share: one core of one segment after another, as they come."""
    cdef int64_t cores = m.spec.cores, segments = m.segment - m.first_segment + 1, ticket
    while True:
        ticket = presil_take(&m.taken)
        if ticket >= segments * cores:
            return
        presil_await(&m.done, ticket // cores * cores)
        work_off(m, h, &m.tapes[ticket % cores], m.first_segment + <int> (ticket // cores))
        presil_take(&m.done)
