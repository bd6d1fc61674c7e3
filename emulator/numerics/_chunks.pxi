# Products of codes, exact in chunks of k: decoded, judged, multiplied. Part of _core.pyx.
#
# Which arithmetic does, in this order:
# - float32, if every sum of a chunk is exact in it: chunk * span_a * span_b * 2^D <= 2^24, the spans
#   (largest / smallest magnitude) of the formats, D how far apart the scales of a row and of a
#   column are in it;
# - float64, if the same holds with 2^53;
# - float64 with a certificate for every output (_certify.pxi).

cdef extern from *:
    """
#include <stdlib.h>  /* aligned_alloc */

/* Two 4-bit codes a byte, the low half first: n of them, an even number or one more. */
PRESIL_CLONES static void presil_unpack4(const uint8_t *packed, uint8_t *codes, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n / 2; i++) {
        codes[2 * i] = packed[i] & 15;
        codes[2 * i + 1] = packed[i] >> 4;
    }
    if (n & 1) codes[n - 1] = packed[n / 2] & 15;
}

PRESIL_INLINE float presil_scale_float(uint8_t code) {  /* e8m0 within float32's normal range */
    return presil_f32(code == 255 ? PRESIL_NAN : (uint32_t)code << 23);
}
PRESIL_INLINE double presil_scale_double(uint8_t code) {
    return presil_f64(code == 255 ? 0x7ff8000000000000u : (uint64_t)(code + 896) << 52);
}

#define PRESIL_LAY(T, DECODE)                                                                     \\
/* row[0..n) *= 2^s of each block of 32. */                                                       \\
PRESIL_CLONES static void presil_scale_row_##T(T *row, const uint8_t *scales, ptrdiff_t n) {      \\
    for (ptrdiff_t first = 0; first < n; first += 32, scales++) {                                 \\
        T s = presil_scale_##T(*scales);                                                          \\
        ptrdiff_t end = n - first < 32 ? n : first + 32;                                          \\
        PRESIL_LANES                                                                              \\
        for (ptrdiff_t k = first; k < end; k++) row[k] *= s;                                      \\
    }                                                                                             \\
}                                                                                                 \\
PRESIL_CLONES static void presil_scale_columns_##T(T *row, const T *scales, ptrdiff_t n) {        \\
    PRESIL_LANES                                                                                  \\
    for (ptrdiff_t j = 0; j < n; j++) row[j] *= scales[j];                                        \\
}                                                                                                 \\
static void presil_decode_row_##T(                                                                \\
    int fmt, const uint8_t *codes, uint8_t *spare, T *out, ptrdiff_t n) {                         \\
    if (spare) presil_unpack4(codes, spare, n);                                                   \\
    DECODE(fmt, spare ? spare : codes, out, n);                                                   \\
}                                                                                                 \\
/* a[M][K] row by row, scales [M][K / 32 up]. `spare` (K bytes): codes are packed. */             \\
static void presil_lay_rows_##T(                                                                  \\
    int fmt, const uint8_t *codes, ptrdiff_t pitch, const uint8_t *scales, ptrdiff_t M,           \\
    ptrdiff_t K, uint8_t *spare, T *out) {                                                        \\
    for (ptrdiff_t i = 0; i < M; i++) {                                                           \\
        presil_decode_row_##T(fmt, codes + i * pitch, spare, out + i * K, K);                     \\
        if (scales) presil_scale_row_##T(out + i * K, scales + i * ((K + 31) / 32), K);           \\
    }                                                                                             \\
}                                                                                                 \\
/* b[K][N] in panels of `width` columns, scales [K / 32 up][N]; row: 2 N of T. */                 \\
static void presil_lay_panels_##T(                                                                \\
    int fmt, const uint8_t *codes, ptrdiff_t pitch, const uint8_t *scales, ptrdiff_t K,           \\
    ptrdiff_t N, ptrdiff_t width, uint8_t *spare, T *row, T *out) {                               \\
    T *factor = row + N;                                                                          \\
    for (ptrdiff_t k = 0; k < K; k++) {                                                           \\
        presil_decode_row_##T(fmt, codes + k * pitch, spare, row, N);                             \\
        if (scales) {                                                                             \\
            for (ptrdiff_t j = 0; k % 32 == 0 && j < N; j++)                                      \\
                factor[j] = presil_scale_##T(scales[k / 32 * N + j]);                             \\
            presil_scale_columns_##T(row, factor, N);                                             \\
        }                                                                                         \\
        for (ptrdiff_t j = 0; j < N; j += width) {                                                \\
            ptrdiff_t n = N - j < width ? N - j : width;                                          \\
            T *to = out + j * K + k * width;                                                      \\
            memcpy(to, row + j, (size_t)n * sizeof(T));                                           \\
            for (ptrdiff_t c = n; c < width; c++) to[c] = 0;                                      \\
        }                                                                                         \\
    }                                                                                             \\
}
PRESIL_LAY(float, presil_decode32)
PRESIL_LAY(double, presil_decode64)

/* The lowest and highest code but NaN of one row's or column's scales, and how far they are apart in
   a chunk at most. Their number is small beside the elements'. */
typedef struct { int low, high, spread; } presil_scale_range;

static presil_scale_range presil_range_of(
    const uint8_t *scales, ptrdiff_t lines, ptrdiff_t line, ptrdiff_t blocks, ptrdiff_t step,
    ptrdiff_t chunk_blocks) {
    presil_scale_range found = {255, -1, 0};
    for (ptrdiff_t i = 0; i < lines; i++)
        for (ptrdiff_t first = 0; first < blocks; first += chunk_blocks) {
            int low = 255, high = -1;
            for (ptrdiff_t k = first; k < blocks && k < first + chunk_blocks; k++) {
                int s = scales[i * line + k * step];
                if (s == 255) continue;
                low = s < low ? s : low;
                high = s > high ? s : high;
            }
            if (high < 0) continue;
            found.spread = high - low > found.spread ? high - low : found.spread;
            found.low = low < found.low ? low : found.low;
            found.high = high > found.high ? high : found.high;
        }
    return found;
}
    """
    void* aligned_alloc(size_t alignment, size_t size) noexcept nogil
    void presil_lay_rows_float(
        int fmt, const uint8_t *codes, Py_ssize_t pitch, const uint8_t *scales, Py_ssize_t M,
        Py_ssize_t K, uint8_t *spare, float *out) noexcept nogil
    void presil_lay_rows_double(
        int fmt, const uint8_t *codes, Py_ssize_t pitch, const uint8_t *scales, Py_ssize_t M,
        Py_ssize_t K, uint8_t *spare, double *out) noexcept nogil
    void presil_lay_panels_float(
        int fmt, const uint8_t *codes, Py_ssize_t pitch, const uint8_t *scales, Py_ssize_t K,
        Py_ssize_t N, Py_ssize_t width, uint8_t *spare, float *row, float *out) noexcept nogil
    void presil_lay_panels_double(
        int fmt, const uint8_t *codes, Py_ssize_t pitch, const uint8_t *scales, Py_ssize_t K,
        Py_ssize_t N, Py_ssize_t width, uint8_t *spare, double *row, double *out) noexcept nogil
    ctypedef struct presil_scale_range:
        int low, high, spread
    presil_scale_range presil_range_of(
        const uint8_t *scales, Py_ssize_t lines, Py_ssize_t line, Py_ssize_t blocks,
        Py_ssize_t step, Py_ssize_t chunk_blocks) noexcept nogil

cdef enum:
    SCALE_BLOCK = 32        # elements of k that share a scale
    FLOAT_SCALES = 40       # scales of 2^+-40 leave products in float32's normal range

cdef enum Arithmetic:
    IN_FLOAT, IN_DOUBLE, CERTIFIED

cdef int kernel_level = presil_kernel_count() - 1


cdef Arithmetic arithmetic_of(
        int fmt, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, Py_ssize_t chunk, const uint8_t* a_scale,
        const uint8_t* b_scale) noexcept nogil:
    """The cheapest arithmetic whose sums are right."""
    cdef presil_scale_range rows, columns
    cdef Py_ssize_t blocks = (K + SCALE_BLOCK - 1) // SCALE_BLOCK
    rows.low, rows.high, rows.spread = 127, 127, 0
    columns = rows
    if a_scale != NULL:
        rows = presil_range_of(a_scale, M, blocks, blocks, 1, chunk // SCALE_BLOCK)
        columns = presil_range_of(b_scale, N, 1, blocks, N, chunk // SCALE_BLOCK)
    return scaled_arithmetic(fmt, min(chunk, K), rows, columns)


cdef Arithmetic scaled_arithmetic(
        int fmt, Py_ssize_t K, presil_scale_range rows, presil_scale_range columns) noexcept nogil:
    """The same of K products whose scales are known."""
    cdef double units = <double> K * presil_formats[fmt].span * presil_formats[fmt].span
    cdef int spread = rows.spread + columns.spread
    cdef bint near
    if spread > 64:
        return CERTIFIED
    units *= <double> (<uint64_t> 1 << (spread // 2)) * <double> (
        <uint64_t> 1 << (spread - spread // 2))
    near = (min(rows.low, columns.low) >= 127 - FLOAT_SCALES
            and max(rows.high, columns.high) <= 127 + FLOAT_SCALES)
    if units <= 16777216.0 and near:
        return IN_FLOAT
    return IN_DOUBLE if units <= 9007199254740992.0 else CERTIFIED


cdef bint enough(void** place, Py_ssize_t* have, Py_ssize_t need) noexcept nogil:
    """Room for so many bytes on a cache line's border; what was there is lost."""
    if need <= have[0]:
        return True
    free(place[0])
    place[0] = aligned_alloc(64, (need + 63) // 64 * 64)
    have[0] = need if place[0] != NULL else 0
    return place[0] != NULL


cdef void free_scratch(ProductScratch* w) noexcept nogil:
    free(w.a)
    free(w.b)
    free(w.stats)
    free(w.row)
    memset(w, 0, sizeof(ProductScratch))


cdef bint add_chunks(
        ProductScratch* w, int fmt, bint packed, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
        Py_ssize_t chunk, const uint8_t* a, const uint8_t* a_scale, const uint8_t* b,
        const uint8_t* b_scale, void* acc) noexcept nogil:
    cdef presil_product t
    cdef const presil_kernels* kernels = &presil_all_kernels[kernel_level]
    cdef Arithmetic how = arithmetic_of(fmt, M, N, K, chunk, a_scale, b_scale)
    cdef Py_ssize_t width = kernels.width_f if how == IN_FLOAT else kernels.width_d
    cdef Py_ssize_t columns = (N + width - 1) // width * width, size = 4 if how == IN_FLOAT else 8
    cdef Py_ssize_t wide = max(K, N)
    cdef Py_ssize_t pitch_a = (K + 1) // 2 if packed else K * presil_formats[fmt].bytes
    cdef Py_ssize_t pitch_b = (N + 1) // 2 if packed else N * presil_formats[fmt].bytes
    cdef uint8_t* spare
    if in_bytes(fmt, K, chunk):
        return add_integer_chunks(w, fmt, packed, M, N, K, chunk, a, b, acc)
    if not (enough(&w.a, &w.a_bytes, M * K * size) and enough(&w.b, &w.b_bytes, columns * K * size)
            and enough(&w.row, &w.row_bytes, 2 * N * size + wide)):
        return False
    spare = <uint8_t*> w.row + 2 * N * size if packed else NULL
    memset(&t, 0, sizeof(t))
    t.M, t.N, t.K, t.chunk, t.pitch = M, N, K, chunk, N
    t.a, t.b, t.acc, t.integer = w.a, w.b, acc, presil_formats[fmt].kind == 3
    if how == IN_FLOAT:
        presil_lay_rows_float(fmt, a, pitch_a, a_scale, M, K, spare, <float*> w.a)
        presil_lay_panels_float(
            fmt, b, pitch_b, b_scale, K, N, width, spare, <float*> w.row, <float*> w.b)
        kernels.run_f(&t)
        return True
    presil_lay_rows_double(fmt, a, pitch_a, a_scale, M, K, spare, <double*> w.a)
    presil_lay_panels_double(
        fmt, b, pitch_b, b_scale, K, N, width, spare, <double*> w.row, <double*> w.b)
    if how == CERTIFIED and not certificates(w, &t, columns, width):
        return False
    kernels.run_d(&t)
    return True


cdef bint certificates(
        ProductScratch* w, presil_product* t, Py_ssize_t columns, Py_ssize_t width) noexcept nogil:
    """Norms and grains of every chunk of rows and columns."""
    cdef Py_ssize_t chunks = (t.K + t.chunk - 1) // t.chunk, c, j, first, length
    cdef double* norm_a
    cdef double* norm_b
    if not enough(&w.stats, &w.stats_bytes, 2 * chunks * (t.M + columns) * sizeof(double)):
        return False
    norm_a = <double*> w.stats
    norm_b = norm_a + 2 * chunks * t.M
    t.norm_a, t.grain_a = norm_a, norm_a + chunks * t.M
    t.norm_b, t.grain_b = norm_b, norm_b + chunks * columns
    for c in range(chunks):
        first = c * t.chunk
        length = min(t.chunk, t.K - first)
        presil_row_stats(
            (<const double*> t.a) + first, t.M, length, t.K, norm_a + c * t.M,
            norm_a + (chunks + c) * t.M)
        for j in range(columns // width):
            presil_column_stats(
                (<const double*> t.b) + (j * t.K + first) * width, length, width, width,
                norm_b + c * columns + j * width, norm_b + (chunks + c) * columns + j * width)
    return True


# ---- for tests -----------------------------------------------------------------------------------

def kernel_names():
    """The micro-kernels that this CPU can run, slowest first."""
    return [presil_all_kernels[i].name.decode() for i in range(presil_kernel_count())]


def use_kernel(int level):
    """Use that one of them from now on, -1: the fastest. Results do not depend on it."""
    global kernel_level
    if not -1 <= level < presil_kernel_count():
        raise ValueError(f"this CPU has {presil_kernel_count()} kernels")
    kernel_level = level if level >= 0 else presil_kernel_count() - 1


def chunk_arithmetic(int fmt, int K, int chunk):
    """"float32", "float64" or "certified": how chunks are summed that have no block scales."""
    return ("float32", "float64", "certified")[arithmetic_of(fmt, 1, 1, K, chunk, NULL, NULL)]


def multiply_chunks(
        int fmt, bint packed, int M, int N, int K, int chunk, const uint8_t[::1] a, a_scale,
        const uint8_t[::1] b, b_scale, uint8_t[::1] acc):
    """add_chunks on bytes; scales are uint8 arrays or None."""
    cdef ProductScratch w
    cdef const uint8_t[::1] sa, sb
    cdef const uint8_t* pa = NULL
    cdef const uint8_t* pb = NULL
    cdef bint done
    cdef Py_ssize_t blocks = (K + SCALE_BLOCK - 1) // SCALE_BLOCK
    cdef Py_ssize_t size = 0 if packed else presil_formats[fmt].bytes
    if (min(M, N, K, chunk) < 1 or acc.shape[0] != 4 * M * N
            or a.shape[0] != M * (size * K if size else (K + 1) // 2)
            or b.shape[0] != K * (size * N if size else (N + 1) // 2)):
        raise ValueError("the shapes do not belong together")
    if a_scale is not None:
        sa, sb = a_scale, b_scale
        if sa.shape[0] != M * blocks or sb.shape[0] != N * blocks or chunk % SCALE_BLOCK:
            raise ValueError("the scales do not fit")
        pa, pb = &sa[0], &sb[0]
    memset(&w, 0, sizeof(w))
    with nogil:
        done = add_chunks(&w, fmt, packed, M, N, K, chunk, &a[0], pa, &b[0], pb, &acc[0])
        free_scratch(&w)
    if not done:
        raise MemoryError
