# The data of the bulk engine: growing arrays of plain rows.

cdef extern from *:
    void __builtin_prefetch(const void* address) noexcept nogil

cdef enum Memory:
    MEMORY = 3   # as operand of a link: through SRAM; 0, 1, 2 are operands a, b, c

cdef enum:
    STREAMS = 64     # numbers below are streams (bit 5: west); from here on results of ALUs
    PLACES = 128     # streams and ALUs together
    CANDIDATES = 64  # producers that one take may have to choose from
    FORESIGHT = 8    # segments that are fetched into the host's cache before they are wanted
    MOST_EXPECTED = 1 << 20  # segments for which room is made beforehand
    GROUP = 2        # planes that work together, at most

# Issues at t0, t0 + d, ... (n of them) with strided operands value, value + stride, ...
cdef struct Seg:
    int64_t t0, d, n, value, stride
    int op, queue
    int prev             # the segment before it on its queue, -1 = none
    int first_link, links
    # What accounts need: for the first issue the thing that it had to wait for.
    int64_t woken        # cycle of resumption after a sync, else -1
    int64_t stream_at    # cycle from which the streams it drives were free, 0 = always
    int64_t stream_elem
    int stream_seg
    int blockers         # the same per issue: offset in `blocked_*`, -1 = only the first matters
    int bank_seg[2]      # last access of the slice's other port to each bank, -1 = none
    int64_t bank_elem[2]
    int64_t bank_first[2]  # the segment's own first access, -1 = none
    int unit_seg[GROUP]  # the last use of a plane by the other queue of a pair
    int install_seg      # mm: the iw whose weights it uses; iw: the lw or lws before it
    # Results of charging: x of issue i, the cycle at which it could have come.
    int64_t x0, slope
    int64_t xs           # offset in `xs`, -1 = linear
    int load, load_scales  # mm: lw and lws of its weights, or -1
    int constant         # read: of words that the program never writes
    int state            # of ordering: 0 unseen, 1 open, 2 done
    int follow           # of ordering: what follows next
    int pad

# Issues of a segment want values on one stream: diagonals diag, diag + d, ... at one place.
# `diag` is cycle - place, where a place counts columns in the direction of flow.
cdef struct Take:
    int64_t diag, d, n
    int seg, stream, op
    int16_t place, operand, part, width

# Values that a segment drives on one stream.
cdef struct Drive:
    int64_t diag, d, n
    int seg, stream
    int16_t place, part, width
    int16_t last         # place of the last reader of every value, -1 = not all are read whole
    int64_t seen         # offset in `seen`: 1 + place of the last reader of each, -1 = not needed
    int chain            # number of the drive to the chain, VXM: -1 = none
    int op               # of the segment

# Issues i0 .. i0 + n - 1 of `seg` (lw: cycles) take what issues k0, k0 + ks, ... of `producer` made.
cdef struct Link:
    int64_t i0, n, k0, ks
    int seg, producer
    int16_t operand, part      # of the consumer
    int16_t source, chained    # stream of the producer; through the ALU's chain

cdef struct SyncIssue:
    int64_t cycle
    int op, pad

# A pair of segments of which the first must come first.
cdef struct Pair:
    int first, second

cdef struct State:
    # chip
    int columns, planes, slices, alus, first_vxm, first_mxm, first_sxm, queues, sync_latency
    int iw_latency, acc_rows, bank_bit, group
    int64_t words
    # program
    const Op* ops
    const int* expect_operands
    const int* expect_streams
    const int* expect_producers
    # found
    Vector segs, takes, drives, links, seen, bursts, syncs, pairs, starts, order
    Vector blocked_at, blocked_seg, blocked_elem, xs
    const char* why      # why the step engine has to do it
    int64_t last
    int64_t sram_read, sram_written, stream_taken, stream_driven, fed
    int64_t first_lw, last_lw, first_mm, last_mm


cdef inline Seg* seg_at(State* s, int64_t i) noexcept nogil:
    return <Seg*> s.segs.data + i


cdef inline void foresee(State* s, int64_t i) noexcept nogil:
    """Have a segment that will be wanted soon come into the host's cache."""
    cdef const char* g = <const char*> seg_at(s, i)
    cdef size_t at = 0
    while at < sizeof(Seg):
        __builtin_prefetch(g + at)
        at += 64


cdef inline int64_t cycle_of(Seg* g, int64_t i) noexcept nogil:
    return g.t0 + i * g.d


cdef inline int64_t end_of(Seg* g) noexcept nogil:
    """Cycle of the last issue."""
    return g.t0 + (g.n - 1) * g.d


cdef inline int comes_before(Seg* p, int64_t k, int64_t t, int queue) noexcept nogil:
    """Whether issue k of p comes before one of `queue` in cycle t, as the step engine walks."""
    cdef int64_t other = cycle_of(p, k)
    return other < t or (other == t and p.queue < queue)


cdef int give_up(State* s, const char* why) noexcept nogil:
    if s.why == NULL:
        s.why = why
    return 0


cdef int64_t add_ints(Vector* v, int64_t n, int64_t value) noexcept nogil:
    """n more int64, all `value`; the offset of the first, -1 when memory is out."""
    cdef int64_t first = v.count, i, capacity = v.capacity if v.capacity else 1024
    while capacity < first + n:
        capacity *= 2
    if not vector_reserve(v, capacity):
        return -1
    v.count = first + n
    for i in range(first, first + n):
        (<int64_t*> v.data)[i] = value
    return first


cdef inline int64_t* ints(Vector* v) noexcept nogil:
    return <int64_t*> v.data


cdef object records(Vector* v, dtype):
    """The rows of a vector as a numpy array (a copy)."""
    if dtype.itemsize != v.item:
        raise AssertionError(f"{dtype} is {dtype.itemsize} bytes, the row {v.item}")
    if not v.count:
        return np.zeros(0, dtype)
    return np.frombuffer(<char[:v.count * v.item]> v.data, dtype).copy()
