# MTE2 and MTE3: strided copies with padding and transposition. Part of _engine.pyx.
#
# Captured operands: 0 dst 1 src 2 n 3 rows 4 src_pitch 5 dst_pitch 6 planes 7 src_plane 8 dst_plane
# 9 cols 10 high 11 pad.

cdef inline int64_t bytes_of(int64_t elements, int width) noexcept nogil:
    """Bytes of a row; 4-bit elements are packed, rows are whole bytes."""
    return (elements + 1) >> 1 if width == WIDTH_B4 else elements << (width - 1)


cdef inline void put(uint8_t* row, int64_t i, int width, uint64_t bits) noexcept nogil:
    """Element i of a row."""
    if width == WIDTH_B4:
        row[i >> 1] = <uint8_t> (row[i >> 1] & (0x0F if i & 1 else 0xF0)
                                 | (bits & 15) << (4 if i & 1 else 0))
    elif width == WIDTH_B8:
        row[i] = <uint8_t> bits
    elif width == WIDTH_B16:
        (<uint16_t*> row)[i] = <uint16_t> bits
    else:
        (<uint32_t*> row)[i] = <uint32_t> bits


cdef inline uint32_t get(const uint8_t* row, int64_t i, int width) noexcept nogil:
    if width == WIDTH_B4:
        return row[i >> 1] >> (4 if i & 1 else 0) & 15
    elif width == WIDTH_B8:
        return row[i]
    elif width == WIDTH_B16:
        return (<const uint16_t*> row)[i]
    return (<const uint32_t*> row)[i]


cdef void fill(uint8_t* row, int64_t first, int64_t end, int width, uint64_t bits) noexcept nogil:
    cdef int64_t i
    if width == WIDTH_B8:
        if end > first:
            memset(row + first, <int> (bits & 255), end - first)
        return
    for i in range(first, end):
        put(row, i, width, bits)


cdef void run_load(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    cdef int op = q.op, space = o.space, w = o.width
    cdef int64_t n = q.x[2], rows = q.x[3] if q.x[3] else 1, planes = q.x[6] if q.x[6] else 1
    cdef int64_t row = bytes_of(n, w), src_pitch = q.x[4] if q.x[4] else row
    cdef int64_t out_n = rows if o.transpose else n, out_rows = n if o.transpose else rows
    cdef int64_t cols = q.x[9] if q.x[9] else out_n, high = q.x[10] if q.x[10] else out_rows
    cdef int64_t out_row = bytes_of(cols, w), pitch = q.x[5] if q.x[5] else out_row
    cdef int64_t src_plane = q.x[7] if q.x[7] else rows * src_pitch
    cdef int64_t dst_plane = q.x[8] if q.x[8] else high * pitch
    cdef int64_t i, first, plane
    cdef uint8_t* dst
    cdef const uint8_t* src
    cdef const uint8_t* start = NULL
    cdef bint simple
    if n < 0 or rows < 0 or cols < out_n or high < out_rows:
        fault(m, FAULT_SHAPE, s, op, -1, cols, high, 0)
        return
    if space == SPACE_L1:
        p.fills_lo, p.fills_hi = q.x[0], q.x[0] + (planes - 1) * dst_plane + high * pitch
    gm_request(m, s, p, False, <uint64_t> q.x[1], row, rows, src_pitch, planes, src_plane, o.l2,
               m.spec.gm_l1 if space == SPACE_L1 else m.spec.gm_ub, m.spec.dma_overhead)
    for plane in range(planes):
        note_global(m, s, p, False, q.x[1] + plane * src_plane, row, rows, src_pitch, op)
        dst = local(m, s, space, q.x[0] + plane * dst_plane, out_row, high, pitch, True, op, p.slot,
                    &p.clock)
        first = 0
        simple = in_one_tensor(
            m, <uint64_t> (q.x[1] + plane * src_plane), row, rows, src_pitch, False)
        for i in range(1 if simple else rows if row else 0):
            src = global_row(m, s, <uint64_t> (q.x[1] + plane * src_plane + i * src_pitch), row,
                             False, op)
            if m.stop:
                return
            if i == 0:
                start = src
            elif src != start + (i - first) * src_pitch:  # these rows lie in another tensor
                defer_rows(m, s, op, dst, start, n, first, i, pitch, src_pitch)
                first, start = i, src
        if dst == NULL:
            continue
        if row:
            defer_rows(m, s, op, dst, start, n, first, rows, pitch, src_pitch)
        if cols > out_n or high > out_rows:
            defer_fill(m, s, op, dst, out_n, cols, out_rows, high, pitch, <uint64_t> q.x[11])


cdef void defer_rows(
    Machine* m, Sub* s, int op, uint8_t* dst, const uint8_t* src, int64_t n, int64_t first,
    int64_t end, int64_t dst_pitch, int64_t src_pitch) noexcept nogil:
    """Rows `first` to `end` of a load, n elements each; the first of them at `src`."""
    cdef const Op* o = &m.ops[op]
    if dst == NULL or src == NULL:
        return
    if o.transpose:
        defer_turn(m, s, op, o.width, dst, src, n, end - first, dst_pitch, src_pitch, first)
    else:
        defer_copy(m, s, op, dst + first * dst_pitch, src, bytes_of(n, o.width), end - first,
                  dst_pitch, src_pitch)


cdef void defer_fill(
    Machine* m, Sub* s, int op, uint8_t* dst, int64_t n, int64_t cols, int64_t rows, int64_t high,
    int64_t pitch, uint64_t pad) noexcept nogil:
    """The padding of a load around its `rows` rows of n elements."""
    cdef Work* w = defer(m, s, WORK_FILL, op)
    if w != NULL:
        w.dst, w.n, w.cols, w.k, w.rows = dst, n, cols, rows, high
        w.dst_pitch, w.width, w.pad = pitch, m.ops[op].width, pad


cdef void run_store(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    cdef int op = q.op, w = o.width
    cdef int64_t n = q.x[2], rows = q.x[3] if q.x[3] else 1, planes = q.x[6] if q.x[6] else 1
    cdef int64_t row = bytes_of(n, w), i, plane, first
    cdef int64_t src_pitch = q.x[4] if q.x[4] else row, dst_pitch = q.x[5] if q.x[5] else row
    cdef int64_t src_plane = q.x[7] if q.x[7] else rows * src_pitch
    cdef int64_t dst_plane = q.x[8] if q.x[8] else rows * dst_pitch
    cdef uint8_t* src
    cdef uint8_t* dst = NULL
    cdef uint8_t* start = NULL
    cdef Sub* cube = s - 1 - s.number
    cdef int64_t took
    cdef bint simple
    if n < 0 or rows < 0:
        fault(m, FAULT_SHAPE, s, op, -1, n, rows, 0)
        return
    if o.space == SPACE_L1:
        if m.spec.ub_l1 <= 0 or m.kind == 2:
            fault(m, FAULT_PATH, s, op, -1, SPACE_UB, SPACE_L1, 0)
            return
        took = m.now + m.spec.dma_overhead + up_to(row * rows * planes / m.spec.ub_l1)
        account(p, took, R_BUSY)
        p.free_at = p.done_at = took
        p.tail = p.name
    else:
        gm_request(m, s, p, True, <uint64_t> q.x[0], row, rows, dst_pitch, planes, dst_plane, False,
                   m.spec.ub_gm, m.spec.dma_overhead)
    for plane in range(planes):
        src = local(m, s, SPACE_UB, q.x[1] + plane * src_plane, row, rows, src_pitch, False, op,
                    p.slot, &p.clock)
        if o.space == SPACE_L1:
            dst = local(m, cube, SPACE_L1, q.x[0] + plane * dst_plane, row, rows, dst_pitch, True,
                        op, p.slot, &p.clock)
        if o.space == SPACE_GM:
            note_global(m, s, p, True, q.x[0] + plane * dst_plane, row, rows, dst_pitch, op)
        first = 0
        simple = o.space == SPACE_GM and in_one_tensor(
            m, <uint64_t> (q.x[0] + plane * dst_plane), row, rows, dst_pitch, True)
        if o.space == SPACE_L1 and m.stop and rows and row:
            return
        for i in range(0 if o.space == SPACE_L1 else 1 if simple else rows if row else 0):
            dst = global_row(
                m, s, <uint64_t> (q.x[0] + plane * dst_plane + i * dst_pitch), row, True, op)
            if m.stop:
                return
            if src == NULL or dst == NULL:
                continue
            if i == 0:
                start = dst
            elif dst != start + (i - first) * dst_pitch:  # these rows lie in another tensor
                defer_copy(m, s, op, start, src + first * src_pitch, row, i - first, dst_pitch,
                          src_pitch)
                first, start = i, dst
        if src != NULL and dst != NULL and row:
            if o.space == SPACE_L1:
                start = dst
            defer_copy(m, s, op, start, src + first * src_pitch, row, rows - first, dst_pitch,
                      src_pitch)
