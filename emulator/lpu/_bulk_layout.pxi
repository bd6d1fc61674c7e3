# Tensors into vectors of SRAM and back. Part of _bulk_values.pyx.

cdef extern from *:
    """
    /* Bytes x[k][i] of 8 rows `pitch` apart, from column i on, as rows out[i][k] `far` apart. */
    static inline void turn_8(const uint8_t *x, ptrdiff_t pitch, uint8_t *out, ptrdiff_t far) {
        uint64_t r[8];
        for (int k = 0; k < 8; k++) memcpy(r + k, x + k * pitch, 8);
        #define TURN(STEP, BITS, MASK) \\
            for (int k = 0; k < 8; k++) if (!(k & STEP)) { \\
                uint64_t t = (r[k] >> BITS ^ r[k + STEP]) & MASK; \\
                r[k + STEP] ^= t, r[k] ^= t << BITS; \\
            }
        TURN(1, 8, 0x00ff00ff00ff00ffu)
        TURN(2, 16, 0x0000ffff0000ffffu)
        TURN(4, 32, 0x00000000ffffffffu)
        #undef TURN
        for (int k = 0; k < 8; k++) memcpy(out + k * far, r + k, 8);
    }
    """
    void turn_8(const uint8_t*, Py_ssize_t, uint8_t*, Py_ssize_t) noexcept nogil

cdef enum:
    TURNED = 64     # vectors turned at once: a line of the cache in the tensor


def place(uint8_t[:, ::1] sram, const int64_t[:, ::1] rows, const uint8_t[:, :] block, int repeat):
    """sram[rows[c, i], lane * repeat + r] = block[i, lane] for every copy c and r below repeat."""
    cdef Py_ssize_t n = block.shape[0], lanes = block.shape[1], i, c, first
    cdef bint near = block.strides[1] == 1
    # Where lanes lie far apart and vectors near, some vectors are turned together.
    cdef bint turned = not near and block.strides[0] == 1
    cdef Py_ssize_t pitch = (lanes + 7) // 8 * 8
    cdef uint8_t* part = NULL
    cdef const uint8_t* source
    if turned:
        part = <uint8_t*> malloc(2 * TURNED * pitch)
        if part == NULL:
            raise MemoryError
        memset(part, 0, 2 * TURNED * pitch)
    with nogil:
        for i in range(n):
            if turned and i % TURNED == 0:
                turn(&block[i, 0], block.strides[1], min(TURNED, n - i), lanes, pitch, part)
            source = part + i % TURNED * pitch if turned else &block[i, 0]
            for c in range(rows.shape[0]):
                if repeat == 1 and (near or turned):
                    memcpy(&sram[rows[c, i], 0], source, lanes)
                else:
                    spread(&sram[rows[c, i], 0], source, 1 if turned else block.strides[1], lanes,
                           repeat)
    free(part)


cdef void turn(const uint8_t* x, Py_ssize_t step, Py_ssize_t n, Py_ssize_t lanes,
               Py_ssize_t pitch, uint8_t* out) noexcept nogil:
    """x[i + k * step] as out[i][k] with rows `pitch` apart; behind these is as much room."""
    cdef uint8_t* rows = out + TURNED * pitch
    cdef Py_ssize_t k, i
    # A power of two between lanes would have all of a vector in the same few lines of the cache.
    for k in range(lanes):
        memcpy(rows + k * TURNED, x + k * step, n)
    for i in range((n + 7) // 8):
        for k in range(pitch // 8):
            turn_8(rows + 8 * (k * TURNED + i), TURNED, out + 8 * (i * pitch + k), pitch)


cdef void spread(uint8_t* out, const uint8_t* x, Py_ssize_t step, Py_ssize_t lanes,
                 int repeat) noexcept nogil:
    """Bytes that lie `step` apart, each `repeat` times."""
    cdef Py_ssize_t k, r
    for k in range(lanes):
        for r in range(repeat):
            out[k * repeat + r] = x[k * step]


def fetch(const uint8_t[:, ::1] sram, const int64_t[:, ::1] rows, int repeat,
          uint8_t[:, :, :] out):
    """out[i, lane, byte] = sram[rows[byte, i], lane * repeat]."""
    cdef Py_ssize_t n = out.shape[0], lanes = out.shape[1], width = out.shape[2], i, k, byte
    cdef bint near = repeat == 1 and out.strides[2] == 1 and out.strides[1] == width
    cdef const uint8_t* row
    with nogil:
        for i in range(n):
            if near and width == 1:
                memcpy(&out[i, 0, 0], &sram[rows[0, i], 0], lanes)
            elif near and width == 2:
                join_2(<uint16_t*> &out[i, 0, 0], &sram[rows[0, i], 0], &sram[rows[1, i], 0],
                       <int> lanes)
            elif near and width == 4:
                join_4(<uint32_t*> &out[i, 0, 0], &sram[rows[0, i], 0], &sram[rows[1, i], 0],
                       &sram[rows[2, i], 0], &sram[rows[3, i], 0], <int> lanes)
            else:
                for byte in range(width):
                    row = &sram[rows[byte, i], 0]
                    for k in range(lanes):
                        out[i, k, byte] = row[k * repeat]
