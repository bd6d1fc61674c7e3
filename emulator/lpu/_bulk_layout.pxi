# Tensors into vectors of SRAM and back. Part of _bulk_values.pyx.

cdef enum:
    TURNED = 64     # vectors turned at once: a line of the cache in the tensor


def place(uint8_t[:, ::1] sram, const int64_t[:, ::1] rows, const uint8_t[:, :] block, int repeat):
    """sram[rows[c, i], lane * repeat + r] = block[i, lane] for every copy c and r below repeat."""
    cdef Py_ssize_t n = block.shape[0], lanes = block.shape[1], width = lanes * repeat
    cdef Py_ssize_t i, j, k, c, some = 1, first
    cdef bint near = block.strides[1] == 1, turned = block.strides[0] == 1 and not near
    cdef uint8_t* part = NULL
    cdef uint8_t* row
    cdef const uint8_t* source
    if turned:
        some = TURNED
        part = <uint8_t*> malloc(TURNED * lanes)
        if part == NULL:
            raise MemoryError
    with nogil:
        for first in range((n + some - 1) // some):
            first *= some
            if turned:  # where lanes lie far apart they are brought near first
                for k in range(lanes):
                    memcpy(part + k * some, &block[first, k], min(some, n - first))
            for i in range(first, min(first + some, n)):
                row = &sram[rows[0, i], 0]
                source = part + i - first if turned else &block[i, 0]
                if near and repeat == 1:
                    memcpy(row, source, lanes)
                else:
                    spread(row, source, some if turned else block.strides[1], lanes, repeat)
                for c in range(1, rows.shape[0]):
                    memcpy(&sram[rows[c, i], 0], row, width)
    free(part)


cdef void spread(uint8_t* out, const uint8_t* x, Py_ssize_t step, Py_ssize_t lanes,
                 int repeat) noexcept nogil:
    """Bytes that lie `step` apart, each `repeat` times."""
    cdef Py_ssize_t k, r
    if repeat == 1:
        for k in range(lanes):
            out[k] = x[k * step]
        return
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
