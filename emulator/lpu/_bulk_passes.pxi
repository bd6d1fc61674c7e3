# Weight passes: operands where they lie, sums into accumulators. Part of _bulk_values.pyx.


cdef class Multiplier:
    """Makes passes, one after another; its buffers serve them all. For one thread at a time."""

    cdef ProductScratch scratch
    cdef const uint8_t** rows
    cdef uint8_t* codes
    cdef Py_ssize_t row_room, code_room

    def __dealloc__(self):
        free_scratch(&self.scratch)
        free(self.rows)
        free(self.codes)

    cdef int reserve(self, Py_ssize_t rows, Py_ssize_t codes) except -1:
        """Room for so many rows and bytes of codes; what was there is lost."""
        if rows > self.row_room:
            free(self.rows)
            self.rows = <const uint8_t**> malloc(rows * sizeof(void*))
            self.row_room = rows if self.rows != NULL else 0
        if codes > self.code_room:
            free(self.codes)
            self.codes = <uint8_t*> malloc(codes)
            self.code_room = codes if self.codes != NULL else 0
        if self.row_room < rows or self.code_room < codes:
            raise MemoryError
        return 0

    def multiply(self, int type_, int depth, int columns, const uint8_t[:, :] x, x_scales,
                 const uint8_t[:, ::1] weights, table, weight_scales, int32_t[:, :] acc,
                 bint start, bint again):
        """acc [n, lanes] = or += one pass; lanes from `columns` on get 0 or +0 added. `again`: the
        weights are those of the call before.

        x: bytes [n, lanes of elements], the first `depth` elements count; x_scales: e8m0 codes
        [n, lanes]. `weights`: codes [columns, depth], or with `table` the SRAM in which they are (a
        row of it: the first row of codes and the distance of the next, the byte of their elements,
        the first word and the distance of the next, how many); weight_scales: [blocks, lanes].
        """
        cdef const uint8_t[:, :] xs
        cdef const uint8_t[:, ::1] ws
        cdef const int64_t[:, ::1] places
        cdef Py_ssize_t n = x.shape[0], i, k, blocks = 0, lanes = acc.shape[1]
        cdef Py_ssize_t pitch = acc.strides[0] // 4
        cdef int width = code_bytes(TYPE_FORMAT[type_])
        cdef const uint8_t** b
        cdef const uint8_t** a_scales = NULL
        cdef const uint8_t** b_scales = NULL
        cdef uint8_t* spare
        cdef int32_t* to
        cdef bint done, scaled = x_scales is not None, placed = table is not None
        if scaled:
            xs, ws = x_scales, weight_scales
            blocks = ws.shape[0]
        if placed:
            places = table
        self.reserve(2 * n + columns + blocks, columns * depth * width if width > 1 and placed else 0)
        b = self.rows + n
        spare = self.codes
        for i in range(n):
            self.rows[i] = &x[i, 0]
        if scaled:
            a_scales = b + columns
            b_scales = a_scales + n
            for i in range(n):
                a_scales[i] = &xs[i, 0]
            for i in range(blocks):
                b_scales[i] = &ws[i, 0]
        with nogil:
            if placed and width == 1:
                for k in range(places.shape[0]):
                    for i in range(places[k, 5]):
                        b[places[k, 0] + i * places[k, 1]] = &weights[
                            places[k, 3] + i * places[k, 4], 0]
            else:
                for k in range(places.shape[0] if placed else 0):
                    for i in range(places[k, 5]):
                        move_plane(
                            spare + (places[k, 0] + i * places[k, 1]) * depth * width + places[k, 2],
                            width, &weights[places[k, 3] + i * places[k, 4], 0], 1, depth)
                for i in range(columns):
                    b[i] = spare + i * depth * width if placed else &weights[i, 0]
            done = multiply_rows(&self.scratch, TYPE_FORMAT[type_], n, columns, depth, self.rows,
                                 a_scales, b, b_scales, &acc[0, 0], pitch, start, again)
            for i in range(n if columns < lanes else 0):
                to = &acc[i, columns]
                if start:
                    memset(to, 0, 4 * (lanes - columns))
                elif type_ != TYPE_INT8:
                    add_nothing(<float*> to, lanes - columns)
        if not done:
            raise MemoryError
