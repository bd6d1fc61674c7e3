# What happens when: events in order of (time, priority, sequence). Part of _engine.pyx.
#
# Almost all events lie a few thousand cycles ahead at most. They are in a wheel with a slot for each
# of the next WHEEL cycles, in the order in which they were sent. When a cycle comes, its events go to
# one list per priority, and those sent for the cycle itself go straight there: every step is O(1), and
# lists keep the sequence. What lies further ahead (or behind: a SIMT function may end before the cycle
# that finds it out) waits in a binary heap, and moves to the wheel when that reaches its cycle, before
# anything else can be sent there.

cdef enum:
    WHEEL = 4096
    WORDS = 64              # of 64 slots each
    KINDS = 10

cdef struct Event:
    int64_t time
    Sub* sub
    Pipe* pipe
    int32_t next            # of its list
    int32_t kind
    int32_t x
    int32_t y

cdef struct Far:            # an event that is not in the wheel
    int64_t time
    int64_t seq
    int32_t kind
    int32_t event

cdef struct Agenda:
    Event* events
    int32_t capacity
    int32_t spare           # list of unused ones, -1 none
    int64_t count
    int64_t now             # cycle that the wheel has come to
    uint32_t kinds          # bit k: `due[k]` is not empty
    int32_t[KINDS] due      # lists are rings; the last event stands for its list, -1: empty
    int32_t[WHEEL] slots
    uint64_t[WORDS] filled
    Far* far
    int64_t far_count
    int64_t seq


cdef bint agenda_new(Agenda* q) noexcept nogil:
    """An empty one; False where memory is out."""
    cdef int i
    q.spare = -1
    for i in range(KINDS):
        q.due[i] = -1
    for i in range(WHEEL):
        q.slots[i] = -1
    return agenda_grow(q)


cdef bint agenda_grow(Agenda* q) noexcept nogil:
    cdef int32_t capacity = max(2 * q.capacity, 1024), i
    cdef Event* events = <Event*> realloc(q.events, capacity * sizeof(Event))
    cdef Far* far
    if events == NULL:
        return False
    q.events = events
    far = <Far*> realloc(q.far, capacity * sizeof(Far))
    if far == NULL:
        return False
    q.far = far
    for i in range(q.capacity, capacity):
        events[i].next = q.spare
        q.spare = i
    q.capacity = capacity
    return True


cdef inline void append(Agenda* q, int32_t* last, int32_t i) noexcept nogil:
    """Put event i at the end of a list."""
    if last[0] < 0:
        q.events[i].next = i
    else:
        q.events[i].next = q.events[last[0]].next
        q.events[last[0]].next = i
    last[0] = i


cdef inline void make_due(Agenda* q, int32_t i) noexcept nogil:
    append(q, &q.due[q.events[i].kind], i)
    q.kinds |= <uint32_t> 1 << q.events[i].kind


cdef inline void to_wheel(Agenda* q, int32_t i) noexcept nogil:
    cdef int64_t slot = q.events[i].time & (WHEEL - 1)
    append(q, &q.slots[slot], i)
    q.filled[slot >> 6] |= <uint64_t> 1 << (slot & 63)


cdef int agenda_push(
    Agenda* q, int64_t time, int kind, Sub* sub, Pipe* pipe, int x, int y) noexcept nogil:
    """0, or -1 where memory is out."""
    cdef int32_t i
    cdef Event* e
    if q.spare < 0 and not agenda_grow(q):
        return -1
    i = q.spare
    e = &q.events[i]
    q.spare = e.next
    q.count += 1
    e.time, e.kind, e.sub, e.pipe, e.x, e.y = time, kind, sub, pipe, x, y
    if time == q.now:
        make_due(q, i)
    elif q.now < time < q.now + WHEEL:
        to_wheel(q, i)
    else:
        far_push(q, i)
    return 0


cdef int64_t next_cycle(const Agenda* q) noexcept nogil:
    """Cycle of the first event; there must be one."""
    cdef int64_t slot, first
    cdef uint64_t bits
    cdef int i
    if q.far_count and q.far[0].time < q.now:
        return q.far[0].time
    if q.kinds:
        return q.now
    if q.count == q.far_count:
        return q.far[0].time
    first = (q.now + 1) & (WHEEL - 1)
    bits = q.filled[first >> 6] >> (first & 63) << (first & 63)
    slot = first & ~<int64_t> 63
    for i in range(WORDS):
        if bits:
            break
        slot = (slot + 64) & (WHEEL - 1)
        bits = q.filled[slot >> 6]
    slot += __builtin_ctzll(bits)
    return q.now + 1 + ((slot - first) & (WHEEL - 1))


cdef void come_to(Agenda* q, int64_t time) noexcept nogil:
    """Turn the wheel to a cycle: the next one with an event."""
    cdef int64_t slot = time & (WHEEL - 1)
    cdef int32_t last, i, next_
    q.now = time
    while q.far_count and q.far[0].time < time + WHEEL:
        to_wheel(q, far_pop(q))
    last = q.slots[slot]
    if last < 0:
        return
    q.slots[slot] = -1
    q.filled[slot >> 6] &= ~(<uint64_t> 1 << (slot & 63))
    i = q.events[last].next
    while True:
        next_ = q.events[i].next
        make_due(q, i)
        if i == last:
            return
        i = next_


cdef Event agenda_pop(Agenda* q) noexcept nogil:
    """The first event; there must be one."""
    cdef int64_t time = next_cycle(q)
    cdef int32_t* last
    cdef int32_t i
    if time < q.now:
        i = far_pop(q)
    else:
        if time > q.now:
            come_to(q, time)
        last = &q.due[__builtin_ctzll(q.kinds)]
        i = q.events[last[0]].next
        if i == last[0]:
            last[0] = -1
            q.kinds &= q.kinds - 1
        else:
            q.events[last[0]].next = q.events[i].next
    q.events[i].next, q.spare = q.spare, i
    q.count -= 1
    return q.events[i]


# ---- the heap ------------------------------------------------------------------------------------

cdef inline bint earlier(const Far* a, const Far* b) noexcept nogil:
    if a.time != b.time:
        return a.time < b.time
    if a.kind != b.kind:
        return a.kind < b.kind
    return a.seq < b.seq


cdef void far_push(Agenda* q, int32_t event) noexcept nogil:
    """There is room: for as many as there are events."""
    cdef int64_t i = q.far_count, up
    cdef Far e
    e.time, e.kind, e.event = q.events[event].time, q.events[event].kind, event
    e.seq = q.seq
    q.seq += 1
    q.far_count += 1
    while i > 0:
        up = (i - 1) >> 1
        if not earlier(&e, &q.far[up]):
            break
        q.far[i] = q.far[up]
        i = up
    q.far[i] = e


cdef int32_t far_pop(Agenda* q) noexcept nogil:
    cdef Far top = q.far[0], last
    cdef int64_t i = 0, down
    q.far_count -= 1
    last = q.far[q.far_count]
    while True:
        down = 2 * i + 1
        if down >= q.far_count:
            break
        if down + 1 < q.far_count and earlier(&q.far[down + 1], &q.far[down]):
            down += 1
        if not earlier(&q.far[down], &last):
            break
        q.far[i] = q.far[down]
        i = down
    q.far[i] = last
    return top.event
