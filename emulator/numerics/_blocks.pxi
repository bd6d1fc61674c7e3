# Blocks that share a scale. Part of _core.pyx.
#
# A tensor is [outer][length][inner], blocks along `length`. Elements are divided by their block's
# factor in double, rounded to odd float32 and encoded: one rounding, as far as anyone can tell.

cdef extern from *:
    """
enum { PRESIL_FLOOR, PRESIL_RCEIL, PRESIL_CEIL, PRESIL_HALF_EVEN };
enum { PRESIL_TILE = 512 };

typedef struct {
    int element, scale;     /* formats */
    ptrdiff_t block;
    int mode, fraction;     /* scale mode; elements count 2^-fraction */
    double largest;         /* largest element, fraction included */
    double tensor;          /* scale of the tensor, 1 where there is none */
    double clamp;           /* elements stay within +-clamp, in units of the element's codes */
} presil_blocks;

/* Exponent of the power of two for a block whose largest magnitude is amax > 0. From the bits of a
   double, where float32's subnormals are normal; log2() would be wrong just below powers of two. */
static int presil_shared_exponent(const presil_blocks *p, double amax) {
    const uint64_t mask = 0xfffffffffffffu;
    uint64_t top = presil_bits64(p->largest), u = presil_bits64(amax), m = u & mask;
    int e = (int)(u >> 52) - (int)(top >> 52);  /* floor(log2 amax) - emax */
    if (p->mode == PRESIL_RCEIL) e += m > (top & mask);
    if (p->mode == PRESIL_CEIL) e += m > 0;
    if (p->mode == PRESIL_HALF_EVEN) {
        /* Rounded to the element's mantissa, amax reaches the next binade from its last half on. */
        int bits = p->fraction ? p->fraction : presil_formats[p->element].mantissa;
        e += m >= mask + 1 - ((uint64_t)1 << (51 - bits));
    }
    return e < -127 ? -127 : e > 127 ? 127 : e;
}

/* The code of a block's scale, and what to divide its elements by; 0: all of them become 0. */
static double presil_block_factor(const presil_blocks *p, double amax, uint8_t *code) {
    const presil_format *scale = &presil_formats[p->scale];
    if (!(amax <= 1.7976931348623157e308)) {
        *code = (uint8_t)scale->nan_code;
        return 0;
    }
    if (scale->kind == PRESIL_SCALE) {
        int e = amax == 0 ? -scale->bias : presil_shared_exponent(p, amax);
        *code = (uint8_t)(e + scale->bias);
        return presil_pow2(e - p->fraction);
    }
    double wanted = amax / (p->largest * p->tensor);
    *code = (uint8_t)presil_code_of(scale, wanted, PRESIL_EVEN, 1, 0);
    return (double)presil_values[p->scale][*code] * p->tensor;
}

/* float32, rounded to odd, of x / factor within +-clamp. */
PRESIL_INLINE float presil_quotient(double x, double factor, double clamp) {
    double q = x / presil_where64(factor != 0, factor, 1.0);
    q = presil_where64(factor != 0, q, 0.0);
    q = presil_where64(q > clamp, clamp, q);
    q = presil_where64(q < -clamp, -clamp, q);
    float y = (float)q;
    double a = __builtin_fabs(q), b = __builtin_fabs((double)y);
    uint32_t u = presil_bits32(y);
    u -= b > a;
    u |= b != a;
    return presil_f32(presil_pick(y == y, u, PRESIL_NAN));
}

#define PRESIL_BLOCKS(FROM, BITS, ABS_MASK, INFINITE, AMAX, FINITE, DIVIDE, DIVIDE_EACH, QUANTIZE) \\
/* Largest magnitude: as integers, magnitudes sort like their values, NaN above Inf. */           \\
PRESIL_CLONES static double AMAX(const FROM *x, ptrdiff_t n) {                                    \\
    BITS most = 0;                                                                                \\
    for (ptrdiff_t i = 0; i < n; i++) {                                                           \\
        BITS a;                                                                                   \\
        memcpy(&a, x + i, sizeof a);                                                              \\
        a &= ABS_MASK;                                                                            \\
        most = a > most ? a : most;                                                               \\
    }                                                                                             \\
    FROM v;                                                                                       \\
    memcpy(&v, &most, sizeof v);                                                                  \\
    return (double)v;                                                                             \\
}                                                                                                 \\
/* The same of the finite values. */                                                              \\
PRESIL_CLONES static double FINITE(const FROM *x, ptrdiff_t n) {                                  \\
    BITS most = 0;                                                                                \\
    for (ptrdiff_t i = 0; i < n; i++) {                                                           \\
        BITS a;                                                                                   \\
        memcpy(&a, x + i, sizeof a);                                                              \\
        a &= ABS_MASK;                                                                            \\
        a = a < INFINITE ? a : 0;                                                                 \\
        most = a > most ? a : most;                                                               \\
    }                                                                                             \\
    FROM v;                                                                                       \\
    memcpy(&v, &most, sizeof v);                                                                  \\
    return (double)v;                                                                             \\
}                                                                                                 \\
PRESIL_CLONES static void DIVIDE(const FROM *x, double factor, double clamp, float *out,          \\
                                 ptrdiff_t n) {                                                   \\
    PRESIL_LANES                                                                                  \\
    for (ptrdiff_t i = 0; i < n; i++) out[i] = presil_quotient((double)x[i], factor, clamp);      \\
}                                                                                                 \\
PRESIL_CLONES static void DIVIDE_EACH(const FROM *x, const double *factor, double clamp,          \\
                                      float *out, ptrdiff_t n) {                                  \\
    PRESIL_LANES                                                                                  \\
    for (ptrdiff_t i = 0; i < n; i++) out[i] = presil_quotient((double)x[i], factor[i], clamp);   \\
}                                                                                                 \\
static void QUANTIZE(const presil_blocks *p, const FROM *x, ptrdiff_t outer, ptrdiff_t length,    \\
                     ptrdiff_t inner, uint8_t *codes, uint8_t *scales) {                          \\
    ptrdiff_t count = (length + p->block - 1) / p->block;                                         \\
    float part[PRESIL_TILE];                                                                      \\
    for (ptrdiff_t o = 0; o < outer; o++)                                                         \\
        for (ptrdiff_t s = 0; s < count; s++) {                                                   \\
            ptrdiff_t at = (o * length + s * p->block) * inner, rows = length - s * p->block;     \\
            uint8_t *code = scales + (o * count + s) * inner;                                     \\
            rows = rows < p->block ? rows : p->block;                                             \\
            if (inner == 1) {                                                                     \\
                double factor = presil_block_factor(p, AMAX(x + at, rows), code);                 \\
                DIVIDE(x + at, factor, p->clamp, part, rows);                                     \\
                presil_encode32(p->element, part, codes + at, rows, 1);                           \\
                continue;                                                                         \\
            }                                                                                     \\
            for (ptrdiff_t c = 0; c < inner; c += PRESIL_TILE) {                                  \\
                ptrdiff_t n = inner - c < PRESIL_TILE ? inner - c : PRESIL_TILE;                  \\
                BITS most[PRESIL_TILE] = {0};                                                     \\
                double factor[PRESIL_TILE];                                                       \\
                for (ptrdiff_t r = 0; r < rows; r++)                                              \\
                    for (ptrdiff_t i = 0; i < n; i++) {                                           \\
                        BITS a;                                                                   \\
                        memcpy(&a, x + at + r * inner + c + i, sizeof a);                         \\
                        a &= ABS_MASK;                                                            \\
                        most[i] = a > most[i] ? a : most[i];                                      \\
                    }                                                                             \\
                for (ptrdiff_t i = 0; i < n; i++) {                                               \\
                    FROM v;                                                                       \\
                    memcpy(&v, most + i, sizeof v);                                               \\
                    factor[i] = presil_block_factor(p, (double)v, code + c + i);                  \\
                }                                                                                 \\
                for (ptrdiff_t r = 0; r < rows; r++) {                                            \\
                    ptrdiff_t to = at + r * inner + c;                                            \\
                    DIVIDE_EACH(x + to, factor, p->clamp, part, n);                               \\
                    presil_encode32(p->element, part, codes + to, n, 1);                          \\
                }                                                                                 \\
            }                                                                                     \\
        }                                                                                         \\
}
PRESIL_BLOCKS(float, int32_t, INT32_MAX, 0x7f800000, presil_amax32, presil_finite32,
              presil_divide32, presil_divide_each32, presil_quantize32)
PRESIL_BLOCKS(double, int64_t, INT64_MAX, 0x7ff0000000000000, presil_amax64, presil_finite64,
              presil_divide64, presil_divide_each64, presil_quantize64)

PRESIL_CLONES static void presil_times(float *x, double factor, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) x[i] = (float)((double)x[i] * factor);
}

PRESIL_CLONES static void presil_times_each(float *x, const double *factor, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) x[i] = (float)((double)x[i] * factor[i]);
}

static void presil_dequantize(
    const presil_blocks *p, const uint8_t *codes, const uint8_t *scales, ptrdiff_t outer,
    ptrdiff_t length, ptrdiff_t inner, float *out) {
    ptrdiff_t count = (length + p->block - 1) / p->block;
    double unit = p->tensor * presil_pow2(-p->fraction), factor[PRESIL_TILE];
    presil_decode32(p->element, codes, out, outer * length * inner);
    for (ptrdiff_t o = 0; o < outer; o++)
        for (ptrdiff_t s = 0; s < count; s++) {
            ptrdiff_t at = (o * length + s * p->block) * inner, rows = length - s * p->block;
            const uint8_t *code = scales + (o * count + s) * inner;
            rows = rows < p->block ? rows : p->block;
            if (inner == 1) {
                presil_times(out + at, (double)presil_values[p->scale][*code] * unit, rows);
                continue;
            }
            for (ptrdiff_t c = 0; c < inner; c += PRESIL_TILE) {
                ptrdiff_t n = inner - c < PRESIL_TILE ? inner - c : PRESIL_TILE;
                for (ptrdiff_t i = 0; i < n; i++)
                    factor[i] = (double)presil_values[p->scale][code[c + i]] * unit;
                for (ptrdiff_t r = 0; r < rows; r++)
                    presil_times_each(out + at + r * inner + c, factor, n);
            }
        }
    presil_canonical(out, out, outer * length * inner);
}
    """
    ctypedef struct presil_blocks:
        int element, scale
        Py_ssize_t block
        int mode, fraction
        double largest, tensor, clamp
    void presil_quantize32(
        const presil_blocks *p, const float *x, Py_ssize_t outer, Py_ssize_t length,
        Py_ssize_t inner, uint8_t *codes, uint8_t *scales) noexcept nogil
    void presil_quantize64(
        const presil_blocks *p, const double *x, Py_ssize_t outer, Py_ssize_t length,
        Py_ssize_t inner, uint8_t *codes, uint8_t *scales) noexcept nogil
    void presil_dequantize(
        const presil_blocks *p, const uint8_t *codes, const uint8_t *scales, Py_ssize_t outer,
        Py_ssize_t length, Py_ssize_t inner, float *out) noexcept nogil
    double presil_finite32(const float *x, Py_ssize_t n) noexcept nogil
    double presil_finite64(const double *x, Py_ssize_t n) noexcept nogil
    void presil_divide32(
        const float *x, double factor, double clamp, float *out, Py_ssize_t n) noexcept nogil
    void presil_divide64(
        const double *x, double factor, double clamp, float *out, Py_ssize_t n) noexcept nogil


cdef presil_blocks _blocks(row, int mode, double tensor):
    cdef presil_blocks p
    p.element = row.row.index
    p.scale = row.scale_row.index
    p.block = row.block
    p.mode = mode
    p.fraction = row.fraction
    p.largest = row.max_element
    p.tensor = tensor
    # Integer elements stay in the symmetric range; the others saturate by themselves.
    p.clamp = row.row.max_finite if row.row.kind == "int" else numpy.inf
    return p


ctypedef fused real:
    float
    double


def quantize(row, int mode, double tensor, const real[:, :, ::1] x,
             uint8_t[:, :, ::1] codes, uint8_t[:, :, ::1] scales):
    """Codes and scales of [outer, length, inner] in blocks along length. row: a BlockFormat."""
    cdef presil_blocks p = _blocks(row, mode, tensor)
    cdef Py_ssize_t outer = x.shape[0], length = x.shape[1], inner = x.shape[2]
    if (codes.shape[0] != outer or codes.shape[1] != length or codes.shape[2] != inner
            or scales.shape[0] != outer or scales.shape[1] != (length + p.block - 1) // p.block
            or scales.shape[2] != inner):
        raise ValueError("the shapes do not belong together")
    if outer and length and inner:
        with nogil:
            if real is float:
                presil_quantize32(
                    &p, &x[0, 0, 0], outer, length, inner, &codes[0, 0, 0], &scales[0, 0, 0])
            else:
                presil_quantize64(
                    &p, &x[0, 0, 0], outer, length, inner, &codes[0, 0, 0], &scales[0, 0, 0])


def dequantize(row, double tensor, const uint8_t[:, :, ::1] codes,
               const uint8_t[:, :, ::1] scales, float[:, :, ::1] out):
    """The values of such codes and scales."""
    cdef presil_blocks p = _blocks(row, 0, tensor)
    cdef Py_ssize_t outer = out.shape[0], length = out.shape[1], inner = out.shape[2]
    if (codes.shape[0] != outer or codes.shape[1] != length or codes.shape[2] != inner
            or scales.shape[0] != outer or scales.shape[1] != (length + p.block - 1) // p.block
            or scales.shape[2] != inner):
        raise ValueError("the shapes do not belong together")
    if outer and length and inner:
        with nogil:
            presil_dequantize(
                &p, &codes[0, 0, 0], &scales[0, 0, 0], outer, length, inner, &out[0, 0, 0])


def finite_amax(const real[::1] x):
    """Largest magnitude among the finite values; 0 if there is none."""
    cdef double most = 0
    if x.shape[0]:
        with nogil:
            if real is float:
                most = presil_finite32(&x[0], x.shape[0])
            else:
                most = presil_finite64(&x[0], x.shape[0])
    return most


def divide(const real[::1] x, double factor, double clamp, float[::1] out):
    """out = x / factor within +-clamp, rounded to odd: encoding it rounds once."""
    if out.shape[0] != x.shape[0]:
        raise ValueError("out has the wrong size")
    if x.shape[0]:
        with nogil:
            if real is float:
                presil_divide32(&x[0], factor, clamp, &out[0], x.shape[0])
            else:
                presil_divide64(&x[0], factor, clamp, &out[0], x.shape[0])
