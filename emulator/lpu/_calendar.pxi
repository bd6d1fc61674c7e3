# Time: a ring of cycles with a bitmap, so that cycles in which nothing is due cost nothing. Issues
# further away than the ring wait in a heap. Queues of one cycle come out in ascending number.


cdef inline void mark(State* s, int slot) noexcept nogil:
    s.busy[slot >> 6] |= <uint64_t> 1 << (slot & 63)


cdef void schedule_queue(State* s, int q, int64_t cycle) noexcept nogil:
    """Queue q issues next at `cycle`."""
    cdef int slot, i, parent
    if cycle - s.now < s.ring:
        slot = <int> (cycle & (s.ring - 1))
        s.due[slot * s.queue_words + (q >> 6)] |= <uint64_t> 1 << (q & 63)
        mark(s, slot)
        return
    i = s.far  # room for every queue once
    s.far += 1
    while i:
        parent = (i - 1) >> 1
        if s.far_time[parent] <= cycle:
            break
        s.far_time[i], s.far_queue[i] = s.far_time[parent], s.far_queue[parent]
        i = parent
    s.far_time[i], s.far_queue[i] = cycle, q


cdef void near_queues(State* s) noexcept nogil:
    """Move issues that have come within the ring out of the heap."""
    cdef int q, i, child
    cdef int64_t cycle, moved
    while s.far and s.far_time[0] - s.now < s.ring:
        cycle, q = s.far_time[0], s.far_queue[0]
        s.far -= 1
        moved = s.far_time[s.far]
        i = 0
        while True:
            child = 2 * i + 1
            if child >= s.far:
                break
            if child + 1 < s.far and s.far_time[child + 1] < s.far_time[child]:
                child += 1
            if s.far_time[child] >= moved:
                break
            s.far_time[i], s.far_queue[i] = s.far_time[child], s.far_queue[child]
            i = child
        s.far_time[i], s.far_queue[i] = moved, s.far_queue[s.far]
        schedule_queue(s, q, cycle)


cdef int64_t next_cycle(State* s) noexcept nogil:
    """The next cycle at or after `now` in which anything is due; -1 when nothing is."""
    cdef int slot, word, k, words = s.ring >> 6
    cdef uint64_t bits
    while True:
        near_queues(s)
        slot = <int> (s.now & (s.ring - 1))
        word = slot >> 6
        bits = s.busy[word] >> (slot & 63)
        if bits:
            return s.now + __builtin_ctzll(bits)
        for k in range(1, words + 1):
            bits = s.busy[(word + k) & (words - 1)]
            if k == words:  # the part of the first word that lies a full turn ahead
                bits &= (<uint64_t> 1 << (slot & 63)) - 1
            if bits:
                return s.now + 64 * k - (slot & 63) + __builtin_ctzll(bits)
        if not s.far:
            return -1
        s.now = s.far_time[0]


# ---- pending work --------------------------------------------------------------------------------


cdef int pending_new(State* s, int kind, int64_t cycle) noexcept nogil:
    """A row that comes up at `cycle`, at most a ring ahead. Rows of a cycle keep their order."""
    cdef int i, slot = <int> (cycle & (s.ring - 1)), capacity
    cdef Pending* rows
    if s.pending_free < 0:
        capacity = 2 * s.pending_capacity
        rows = <Pending*> realloc(s.pending, capacity * sizeof(Pending))
        if rows == NULL:
            s.failed = 1
            return 0
        s.pending = rows
        for i in range(s.pending_capacity, capacity):
            rows[i].next = i + 1 if i + 1 < capacity else -1
        s.pending_free, s.pending_capacity = s.pending_capacity, capacity
    i = s.pending_free
    s.pending_free = s.pending[i].next
    s.pending[i].next = -1
    s.pending[i].buf = -1
    s.pending[i].poison = 0
    if s.head[kind * s.ring + slot] < 0:
        s.head[kind * s.ring + slot] = i
    else:
        s.pending[s.tail[kind * s.ring + slot]].next = i
    s.tail[kind * s.ring + slot] = i
    mark(s, slot)
    return i


cdef int pending_take(State* s, int kind) noexcept nogil:
    """All rows of this kind for the present cycle, as a list."""
    cdef int slot = <int> (s.now & (s.ring - 1)), first = s.head[kind * s.ring + slot]
    s.head[kind * s.ring + slot] = -1
    return first


cdef int pending_done(State* s, int i) noexcept nogil:
    """Give row i and its buffer back; the next row of the list."""
    cdef int following = s.pending[i].next
    if s.pending[i].buf >= 0:
        s.buffer_next[s.pending[i].buf] = s.buffer_free
        s.buffer_free = s.pending[i].buf
    s.pending[i].next = s.pending_free
    s.pending_free = i
    return following


cdef int buffer_new(State* s) noexcept nogil:
    """A buffer of `buffer_bytes` bytes; pointers into others move."""
    cdef int i, capacity
    cdef uint8_t* data
    cdef int* following
    if s.buffer_free < 0:
        capacity = 2 * s.buffer_capacity
        data = <uint8_t*> realloc(s.buffers, capacity * s.buffer_bytes)
        if data != NULL:
            s.buffers = data
        following = <int*> realloc(s.buffer_next, capacity * sizeof(int))
        if following != NULL:
            s.buffer_next = following
        if data == NULL or following == NULL:
            s.failed = 1
            return 0
        for i in range(s.buffer_capacity, capacity):
            following[i] = i + 1 if i + 1 < capacity else -1
        s.buffer_free, s.buffer_capacity = s.buffer_capacity, capacity
    i = s.buffer_free
    s.buffer_free = s.buffer_next[i]
    return i
