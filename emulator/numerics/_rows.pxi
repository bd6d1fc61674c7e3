# Products of two operands that both have k along their rows: what a weight pass of the LPU is. The
# pass is one chunk. Rows may lie anywhere. Part of _core.pyx.

cdef extern from *:
    """
#define PRESIL_FEW_ROWS 4  /* up to which laying out panels does not pay */

#define PRESIL_LAY_TURNED(T, DECODE)                                                              \\
/* row[k] *= 2^scales[k]. */                                                                      \\
PRESIL_CLONES static void presil_scale_each_##T(T *row, const uint8_t *scales, ptrdiff_t n) {     \\
    PRESIL_LANES                                                                                  \\
    for (ptrdiff_t k = 0; k < n; k++) row[k] *= presil_scale_##T(scales[k]);                      \\
}                                                                                                 \\
/* One row of b, with the scales of its blocks of 32. */                                          \\
static void presil_lay_weights_##T(                                                               \\
    int fmt, const uint8_t *codes, const uint8_t *const *scales, ptrdiff_t n, ptrdiff_t K,        \\
    T *row) {                                                                                     \\
    DECODE(fmt, codes, row, K);                                                                   \\
    for (ptrdiff_t k = 0; scales && k < K; k += 32)                                               \\
        presil_scale_row_##T(row + k, scales[k / 32] + n, K - k < 32 ? K - k : 32);               \\
}                                                                                                 \\
static void presil_lay_activations_##T(                                                           \\
    int fmt, const uint8_t *codes, const uint8_t *scales, ptrdiff_t K, T *row) {                  \\
    DECODE(fmt, codes, row, K);                                                                   \\
    if (scales) presil_scale_each_##T(row, scales, K);                                            \\
}                                                                                                 \\
/* b[N] rows in panels of `width` columns, each column K long; row: K of T. */                    \\
static void presil_lay_turned_##T(                                                                \\
    int fmt, const uint8_t *const *b, const uint8_t *const *scales, ptrdiff_t N, ptrdiff_t K,     \\
    ptrdiff_t width, T *row, T *out) {                                                            \\
    for (ptrdiff_t j = 0; j < N; j += width, out += K * width) {                                  \\
        for (ptrdiff_t c = 0; c < width; c++) {                                                   \\
            if (j + c < N) {                                                                      \\
                presil_lay_weights_##T(fmt, b[j + c], scales, j + c, K, row);                     \\
                for (ptrdiff_t k = 0; k < K; k++) out[k * width + c] = row[k];                    \\
            } else {                                                                              \\
                for (ptrdiff_t k = 0; k < K; k++) out[k * width + c] = 0;                         \\
            }                                                                                     \\
        }                                                                                         \\
    }                                                                                             \\
}
PRESIL_LAY_TURNED(float, presil_decode32)
PRESIL_LAY_TURNED(double, presil_decode64)

/* Eight partial sums: whoever calls this knows that sums are exact in any order. */
PRESIL_CLONES static double presil_row_dot(const double *a, const double *b, ptrdiff_t n) {
    double sum[8] = {0};
    ptrdiff_t k = 0;
    for (; k + 8 <= n; k += 8)
        PRESIL_ROLLED
        for (ptrdiff_t j = 0; j < 8; j++) sum[j] += a[k + j] * b[k + j];
    for (; k < n; k++) sum[0] += a[k] * b[k];
    for (ptrdiff_t j = 1; j < 8; j++) sum[0] += sum[j];
    return sum[0];
}

PRESIL_CLONES static int32_t presil_int_dot(const int8_t *a, const int8_t *b, ptrdiff_t n) {
    int32_t sum = 0;
    for (ptrdiff_t k = 0; k < n; k++) sum += a[k] * b[k];
    return sum;
}

static void presil_settle_row(
    const presil_product *t, ptrdiff_t i, ptrdiff_t n, const double *sums, void *to) {
    presil_settle_double(t, 0, i, 0, n, sums, NULL, NULL, 0, 1, to);
}

/* The lowest and highest code but 255 of some scales; low > high: none. */
PRESIL_CLONES static presil_scale_range presil_range_of_row(const uint8_t *scales, ptrdiff_t n) {
    presil_scale_range found = {255, -1, 0};
    for (ptrdiff_t k = 0; k < n; k++) {
        int s = scales[k], none = s == 255;
        found.low = s < found.low ? s : found.low;
        s = none ? -1 : s;
        found.high = s > found.high ? s : found.high;
    }
    found.spread = found.high < 0 ? 0 : found.high - found.low;
    return found;
}
    """
    enum: PRESIL_FEW_ROWS
    void presil_lay_activations_float(
        int fmt, const uint8_t* codes, const uint8_t* scales, Py_ssize_t K,
        float* row) noexcept nogil
    void presil_lay_activations_double(
        int fmt, const uint8_t* codes, const uint8_t* scales, Py_ssize_t K,
        double* row) noexcept nogil
    void presil_lay_weights_double(
        int fmt, const uint8_t* codes, const uint8_t* const* scales, Py_ssize_t n, Py_ssize_t K,
        double* row) noexcept nogil
    void presil_lay_turned_float(
        int fmt, const uint8_t* const* b, const uint8_t* const* scales, Py_ssize_t N, Py_ssize_t K,
        Py_ssize_t width, float* row, float* out) noexcept nogil
    void presil_lay_turned_double(
        int fmt, const uint8_t* const* b, const uint8_t* const* scales, Py_ssize_t N, Py_ssize_t K,
        Py_ssize_t width, double* row, double* out) noexcept nogil
    double presil_row_dot(const double* a, const double* b, Py_ssize_t n) noexcept nogil
    int32_t presil_int_dot(const int8_t* a, const int8_t* b, Py_ssize_t n) noexcept nogil
    void presil_settle_row(
        const presil_product* t, Py_ssize_t i, Py_ssize_t n, const double* sums,
        void* to) noexcept nogil
    presil_scale_range presil_range_of_row(const uint8_t* scales, Py_ssize_t n) noexcept nogil

cdef enum:
    LAID_NOT, LAID_FLOAT, LAID_DOUBLE, LAID_BYTES   # ProductScratch.laid


cdef Arithmetic arithmetic_of_rows(
        int fmt, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, const uint8_t* const* a_scale,
        const uint8_t* const* b_scale) noexcept nogil:
    """`arithmetic_of` with a scale for each element of a, and blocks of b in rows."""
    cdef presil_scale_range found, rows, columns
    cdef Py_ssize_t i, n, blocks = (K + SCALE_BLOCK - 1) // SCALE_BLOCK
    cdef int low, high, s
    if a_scale == NULL:
        return arithmetic_of(fmt, M, N, K, K, NULL, NULL)
    rows.low, rows.high, rows.spread = 255, -1, 0
    columns = rows
    for i in range(M):
        found = presil_range_of_row(a_scale[i], K)
        if found.high >= 0:
            rows.low, rows.high = min(rows.low, found.low), max(rows.high, found.high)
            rows.spread = max(rows.spread, found.spread)
    for n in range(N):
        low, high = 255, -1
        for i in range(blocks):
            s = b_scale[i][n]
            if s != 255:
                low, high = min(low, s), max(high, s)
        if high >= 0:
            columns.low, columns.high = min(columns.low, low), max(columns.high, high)
            columns.spread = max(columns.spread, high - low)
    return scaled_arithmetic(fmt, K, rows, columns)


cdef bint multiply_rows(
        ProductScratch* w, int fmt, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
        const uint8_t* const* a, const uint8_t* const* a_scale, const uint8_t* const* b,
        const uint8_t* const* b_scale, void* acc, Py_ssize_t pitch, bint start,
        bint again) noexcept nogil:
    cdef presil_product t
    cdef const presil_kernels* kernels = &presil_all_kernels[kernel_level]
    cdef Arithmetic how
    cdef Py_ssize_t width, columns, size, i
    memset(&t, 0, sizeof(t))
    t.M, t.N, t.K, t.chunk, t.pitch, t.start = M, N, K, K, pitch, start
    t.acc, t.integer = acc, presil_formats[fmt].kind == 3
    if M > PRESIL_FEW_ROWS and in_bytes(fmt, K, K):
        return multiply_integer_rows(w, &t, fmt == INT4, a, b, again)
    how = arithmetic_of_rows(fmt, M, N, K, a_scale, b_scale)
    if M <= PRESIL_FEW_ROWS and how != CERTIFIED:
        return multiply_few_rows(w, &t, fmt, a, a_scale, b, b_scale)
    width = kernels.width_f if how == IN_FLOAT else kernels.width_d
    columns, size = (N + width - 1) // width * width, 4 if how == IN_FLOAT else 8
    if not (enough(&w.a, &w.a_bytes, M * K * size) and enough(&w.b, &w.b_bytes, columns * K * size)
            and enough(&w.row, &w.row_bytes, K * size)):
        return False
    t.a, t.b = w.a, w.b
    again = again and w.laid == (LAID_FLOAT if how == IN_FLOAT else LAID_DOUBLE)
    w.laid = LAID_FLOAT if how == IN_FLOAT else LAID_DOUBLE
    if how == IN_FLOAT:
        for i in range(M):
            presil_lay_activations_float(
                fmt, a[i], a_scale[i] if a_scale != NULL else NULL, K, <float*> w.a + i * K)
        if not again:
            presil_lay_turned_float(fmt, b, b_scale, N, K, width, <float*> w.row, <float*> w.b)
        kernels.run_f(&t)
        return True
    for i in range(M):
        presil_lay_activations_double(
            fmt, a[i], a_scale[i] if a_scale != NULL else NULL, K, <double*> w.a + i * K)
    if not again:
        presil_lay_turned_double(fmt, b, b_scale, N, K, width, <double*> w.row, <double*> w.b)
    if how == CERTIFIED and not certificates(w, &t, columns, width):
        return False
    kernels.run_d(&t)
    return True


cdef bint multiply_integer_rows(
        ProductScratch* w, presil_product* t, bint low4, const uint8_t* const* a,
        const uint8_t* const* b, bint again) noexcept nogil:
    """By integer instructions."""
    cdef const presil_kernels* kernels = &presil_all_kernels[kernel_level]
    cdef Py_ssize_t width = kernels.width_i, groups = (t.K + 3) // 4, j
    cdef Py_ssize_t columns = (t.N + width - 1) // width * width
    cdef uint32_t* panel
    if not (enough(&w.a, &w.a_bytes, 4 * t.M * groups)
            and enough(&w.b, &w.b_bytes, 4 * columns * groups)
            and enough(&w.row, &w.row_bytes, t.K) and enough(&w.stats, &w.stats_bytes, 4 * t.M)):
        return False
    for j in range(t.M):
        presil_lay_int_row(low4, a[j], t.K, t.K, <int32_t*> w.a + j * groups,
                           <int32_t*> w.stats + j, t.M)
    for j in range(0 if again and w.laid == LAID_BYTES else t.N):
        panel = <uint32_t*> w.b + j // width * width * groups + j % width
        if low4:
            presil_int_row(low4, b[j], <uint8_t*> w.row, t.K)
        presil_lay_int_column(<uint8_t*> w.row if low4 else b[j], t.K, panel, width)
    w.laid = LAID_BYTES
    t.a, t.b, t.bias, t.K, t.chunk = w.a, w.b, <int32_t*> w.stats, groups, groups
    kernels.run_i(t)
    return True


cdef bint multiply_few_rows(
        ProductScratch* w, presil_product* t, int fmt, const uint8_t* const* a,
        const uint8_t* const* a_scale, const uint8_t* const* b,
        const uint8_t* const* b_scale) noexcept nogil:
    """Row by row of b: each is used too seldom to be laid out. Sums are exact."""
    cdef Py_ssize_t i, n
    cdef bint plain = fmt == INT8 and t.K <= MOST_BYTES
    cdef double* row
    cdef double* sums
    if not (enough(&w.a, &w.a_bytes, 8 * t.M * t.K)
            and enough(&w.row, &w.row_bytes, 8 * (t.K + t.M * t.N))):
        return False
    w.laid = LAID_NOT
    row, sums = <double*> w.row, <double*> w.row + t.K
    for i in range(0 if plain else t.M):
        presil_lay_activations_double(
            fmt, a[i], a_scale[i] if a_scale != NULL else NULL, t.K, <double*> w.a + i * t.K)
    for n in range(t.N):
        if not plain:
            presil_lay_weights_double(fmt, b[n], b_scale, n, t.K, row)
        for i in range(t.M):
            if plain:
                sums[i * t.N + n] = presil_int_dot(<const int8_t*> a[i], <const int8_t*> b[n], t.K)
            else:
                sums[i * t.N + n] = presil_row_dot(<double*> w.a + i * t.K, row, t.K)
    for i in range(t.M):
        presil_settle_row(t, i, t.N, sums + i * t.N, <float*> t.acc + i * t.pitch)
    return True


# ---- for tests -----------------------------------------------------------------------------------

def multiply_by_rows(
        int fmt, const uint8_t[:, ::1] a, a_scale, const uint8_t[:, ::1] b, b_scale, int K,
        uint8_t[:, ::1] acc, bint start):
    """multiply_rows on the bytes of rows: a [M, bytes], b [N, bytes], acc [M, 4 N]; a_scale [M, K]
    and b_scale [K / 32 up, N] are uint8 arrays or None."""
    cdef Py_ssize_t M = a.shape[0], N = b.shape[0], blocks = (K + SCALE_BLOCK - 1) // SCALE_BLOCK, i
    cdef const uint8_t[:, ::1] sa, sb
    cdef ProductScratch w
    cdef bint done
    cdef const uint8_t** rows
    if (min(M, N, K) < 1 or min(a.shape[1], b.shape[1]) < K * presil_formats[fmt].bytes
            or acc.shape[0] != M or acc.shape[1] != 4 * N):
        raise ValueError("the shapes do not belong together")
    if a_scale is not None:
        sa, sb = a_scale, b_scale
        if sa.shape[0] != M or sa.shape[1] < K or sb.shape[0] != blocks or sb.shape[1] != N:
            raise ValueError("the scales do not fit")
    rows = <const uint8_t**> malloc((2 * M + N + blocks) * sizeof(void*))
    if rows == NULL:
        raise MemoryError
    memset(&w, 0, sizeof(w))
    for i in range(M):
        rows[i] = &a[i, 0]
        rows[M + N + i] = &sa[i, 0] if a_scale is not None else NULL
    for i in range(N):
        rows[M + i] = &b[i, 0]
    for i in range(blocks):
        rows[2 * M + N + i] = &sb[i, 0] if a_scale is not None else NULL
    with nogil:
        done = multiply_rows(
            &w, fmt, M, N, K, rows, rows + M + N if a_scale is not None else NULL, rows + M,
            rows + 2 * M + N if a_scale is not None else NULL, &acc[0, 0], N, start, False)
        free_scratch(&w)
    free(rows)
    if not done:
        raise MemoryError
