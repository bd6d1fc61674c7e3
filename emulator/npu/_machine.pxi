# The machine as one struct, its faults, and access to local and global memory. Part of _engine.pyx.

include "_simd_state.pxi"

cdef struct Function:
    int32_t first       # row of the program
    int32_t end
    int32_t simt
    int32_t fixed       # its times depend on no value, only on arguments
    uint32_t depends    # on which of them
    int32_t registers   # per thread of a SIMT function

cdef struct Machine:
    Spec spec
    Simd* simd              # the one function that runs just now
    Called* called          # CALLS of them
    Agenda agenda
    Op* ops
    int64_t op_count
    Function* functions
    int32_t function_count
    Sub* subs
    int32_t sub_count
    int32_t per_core
    Tensor* tensors
    int32_t tensor_count
    int32_t last_tensor
    int32_t values          # full mode
    int32_t strict          # hazards are errors
    int32_t stop
    int32_t blocks
    int32_t next_block
    int32_t finished
    int32_t kind            # of blocks: 0 mixed, 1 cube, 2 vector
    int32_t fault_count
    int32_t[2][COUNTED] meeting   # sub-cores of a kind that have come to a grid flag
    int64_t now
    int64_t end
    int64_t steps
    Fault[MOST_FAULTS] faults
    Tape* tapes             # of cores: work on values that waits, see _work.pxi
    Worker* workers         # of host threads; the first is the one that runs the events
    int32_t worker_count
    int32_t pending         # items on all tapes
    int32_t segment         # that new items belong to
    int32_t first_segment   # of those that wait
    int32_t most_work       # items on all tapes together, before they are worked off
    int32_t pause           # there are so many
    int32_t started
    int64_t taken           # tickets for a core's part of a segment: given out, and done
    int64_t done
    int by_model[2]         # sums of floats, of integers are `sums`' business
    void* sums              # models.CubeSums
    Step* scalars           # by row
    Use* uses
    Uop* uops               # by row; only those of SIMT functions are filled
    int32_t* tensor_of      # by row: the tensor that a word of a SIMT function touched last
    int64_t* stalls         # [rows, WHYS] cycles that warps waited at a word of a SIMT function
    SimtSpec simt_spec
    Calendar calendar
    Simt* latest            # the sub-core that had a window last
    Interval* intervals
    int64_t interval_count
    int64_t interval_capacity
    int64_t ahead           # cycles that no answer of global memory falls short of
    int64_t thread          # that a fault is of, + 1
    Record* records
    int32_t record_count
    int32_t record_capacity
    int64_t l0_read
    Memory* memory          # L2 and HBM
    Watch watch


cdef void fault(
    Machine* m, int kind, Sub* s, int op, int other, int64_t a, int64_t b, int64_t c) noexcept nogil:
    """Note a fault; equal ones are counted. The run ends unless it may go on with a warning."""
    cdef int i
    cdef Fault* f
    cdef bint fatal = m.strict or not (kind == FAULT_RACE or kind == FAULT_POISON
                                       or kind == FAULT_FLAG_SET)
    if fatal:
        m.stop = 1
    for i in range(m.fault_count):
        f = &m.faults[i]
        if f.kind == kind and f.op == op and f.other == other:
            f.count += 1
            return
    if m.fault_count == MOST_FAULTS:
        return
    f = &m.faults[m.fault_count]
    m.fault_count += 1
    f.kind, f.op, f.other, f.time = kind, op, other, m.now
    f.sub = <int32_t> (s - m.subs) if s != NULL else -1
    f.a, f.b, f.c, f.count, f.thread = a, b, c, 1, m.thread - 1


# ---- local memories ------------------------------------------------------------------------------

cdef void mark(Space* where, int64_t lo, int64_t n) noexcept nogil:
    """These bytes are written. Tiles are large and written often: mostly a look at their lines."""
    cdef int64_t first = (lo + LINE - 1) // LINE, lines = (lo + n) // LINE - first
    if where.whole == NULL or lines <= 0:
        memset(where.valid + lo, 1, n)
    elif memchr(where.whole + first, 0, lines) != NULL:
        memset(where.whole + first, 1, lines)
        memset(where.valid + lo, 1, n)
    else:
        memset(where.valid + lo, 1, first * LINE - lo)
        memset(where.valid + (first + lines) * LINE, 1, lo + n - (first + lines) * LINE)


cdef bint marked(const Space* where, int64_t lo, int64_t n) noexcept nogil:
    """Whether all of these bytes are written."""
    cdef int64_t first = (lo + LINE - 1) // LINE, lines = (lo + n) // LINE - first, end
    if where.whole == NULL or lines <= 0 or memchr(where.whole + first, 0, lines) != NULL:
        return memchr(where.valid + lo, 0, n) == NULL
    end = (first + lines) * LINE
    return (memchr(where.valid + lo, 0, first * LINE - lo) == NULL
            and memchr(where.valid + end, 0, lo + n - end) == NULL)


cdef uint8_t* local(
    Machine* m, Sub* s, int space, int64_t lo, int64_t row, int64_t rows, int64_t pitch, bint write,
    int op, int slot, const Clock* clock) noexcept nogil:
    """Where the tile's first byte lies (NULL in timing mode or after a fault): bounds, races, poison."""
    cdef Access a = access(lo, row, rows, pitch)
    cdef Space* where = &s.spaces[space]
    cdef int64_t i
    if row < 0 or rows < 0 or lo < 0 or a.hi > where.size or (rows > 1 and pitch < 0):
        fault(m, FAULT_CAPACITY, s, op, -1, space, a.hi, where.size)
        return NULL
    if a.hi == a.lo:
        return NULL
    a.slot, a.write, a.op, a.epoch = slot, write, op, clock.at[slot]
    note_access(m, s, space, &a, op, clock)
    if not m.values or m.stop:
        return NULL
    for i in range(a.rows):
        if write:
            mark(where, a.lo + i * a.pitch, a.row)
        elif not marked(where, a.lo + i * a.pitch, a.row):
            fault(m, FAULT_POISON, s, op, -1, space, a.lo + i * a.pitch, 0)
            break
    return where.data + lo


# ---- global memory -------------------------------------------------------------------------------

cdef Tensor* global_tensor(Machine* m, uint64_t address) noexcept nogil:
    """The tensor that holds a byte, NULL if there is none."""
    cdef int i = m.last_tensor
    cdef Tensor* t
    if m.tensor_count == 0:
        return NULL
    t = &m.tensors[i]
    if t.base <= address < t.base + <uint64_t> t.size:
        return t
    for i in range(m.tensor_count):
        t = &m.tensors[i]
        if t.base <= address < t.base + <uint64_t> t.size:
            m.last_tensor = i
            return t
    return NULL


cdef void mark_global(Tensor* t, int64_t at, int64_t size) noexcept nogil:
    """These bytes are written; of whole granules that is said once, their bytes are not touched."""
    cdef int64_t first = (at + GRANULE - 1) // GRANULE, end = (at + size) // GRANULE
    if end <= first:
        memset(t.valid + at, 1, size)
        return
    if end == first + 1:
        t.whole[first] = 1
    else:
        memset(t.whole + first, 1, end - first)
    # Not even a memset of nothing: with masked stores it is slow where there is no page yet.
    if at < first * GRANULE:
        memset(t.valid + at, 1, first * GRANULE - at)
    if end * GRANULE < at + size:
        memset(t.valid + end * GRANULE, 1, at + size - end * GRANULE)


cdef bint marked_global(const Tensor* t, int64_t at, int64_t size) noexcept nogil:
    """Whether all of these bytes are written."""
    cdef int64_t end = at + size, stop
    while at < end:
        stop = min((at // GRANULE + 1) * GRANULE, end)
        if not t.whole[at // GRANULE] and memchr(t.valid + at, 0, stop - at) != NULL:
            return False
        at = stop
    return True


cdef bint read_only(Machine* m, uint64_t address) noexcept nogil:
    """Whether nothing ever writes there."""
    cdef Tensor* t = global_tensor(m, address)
    return t == NULL or not t.writable


cdef uint8_t* global_row(
    Machine* m, Sub* s, uint64_t address, int64_t size, bint write, int op) noexcept nogil:
    """Where a run of bytes of global memory lies; NULL in timing mode or after a fault."""
    cdef Tensor* t = global_tensor(m, address)
    cdef int64_t at
    if t == NULL or size < 0 or address + <uint64_t> size > t.base + <uint64_t> t.size:
        fault(m, FAULT_BOUNDS, s, op, -1, <int64_t> address, size, 0)
        return NULL
    if write and not t.writable:
        fault(m, FAULT_READ_ONLY, s, op, -1, <int64_t> address, size, 0)
        return NULL
    if not m.values:
        return NULL
    at = <int64_t> (address - t.base)
    if t.valid != NULL:
        if write:
            mark_global(t, at, size)
        elif not marked_global(t, at, size):
            fault(m, FAULT_POISON, s, op, -1, SPACE_GM, <int64_t> address, 0)
    return t.data + at


cdef bint in_one_tensor(
    Machine* m, uint64_t address, int64_t row, int64_t rows, int64_t pitch, bint write) noexcept nogil:
    """Whether `global_row` would find nothing wrong with any of these rows, nor have to note it."""
    cdef Tensor* t = global_tensor(m, address)
    cdef int64_t left
    if t == NULL or row <= 0 or rows <= 0 or pitch < 0 or write and not t.writable:
        return False
    if m.values and t.valid != NULL:
        return False
    left = <int64_t> (t.base + <uint64_t> t.size - address) - row
    return left >= 0 and (pitch == 0 or rows - 1 <= left // pitch)
