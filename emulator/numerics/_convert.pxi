# Codes <-> numbers. Part of _core.pyx.
#
# Two ways to round, tested against each other on every interesting input:
# - presil_code_of(), scalar: any mode, from the definition, on the integer significand of a double;
# - the nearest-even loops: branch-free, so that the compiler vectorises them.

cdef extern from *:
    """
enum { PRESIL_FLOAT, PRESIL_SCALE, PRESIL_TAPERED, PRESIL_INT };
enum { PRESIL_EVEN, PRESIL_ZERO, PRESIL_AWAY, PRESIL_STOCHASTIC };
#define PRESIL_FORMATS 15
#define PRESIL_NAN 0x7fc00000u

/* What the C side knows of a row of formats.py; filled at import. */
typedef struct {
    int kind, bytes, mantissa, bias, sign_bit, code_shift;
    int32_t max_code, over_code, nan_code;  /* over_code: plain overflow; before code_shift */
    double low, high, span;
} presil_format;

static presil_format presil_formats[PRESIL_FORMATS];
static float presil_values[PRESIL_FORMATS][256];      /* by code, formats of one byte */
static uint8_t presil_hif8_codes[2][2048];            /* [saturate][float32 magnitude >> 20] */
static uint32_t presil_hif8_half[256];                /* [float32 exponent] half a last place */

PRESIL_INLINE uint32_t presil_bits32(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
PRESIL_INLINE uint64_t presil_bits64(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
PRESIL_INLINE float presil_f32(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
PRESIL_INLINE double presil_f64(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }
PRESIL_INLINE double presil_pow2(int e) { return presil_f64((uint64_t)(e + 1023) << 52); }

/* condition ? a : b, without a branch for the compiler to move arithmetic into: it may not
   vectorise floating-point operations that it believes to be conditional, as they could trap. */
PRESIL_INLINE uint32_t presil_pick(int condition, uint32_t a, uint32_t b) {
    uint32_t mask = -(uint32_t)condition;
    return (a & mask) | (b & ~mask);
}

/* splitmix64 (Steele, Lea, Flood 2014) as a counter-based generator: the stream of a seed starts at
   a mixed place, so that neighbouring seeds do not share their numbers. */
PRESIL_INLINE uint64_t presil_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
PRESIL_INLINE uint64_t presil_random(uint64_t seed, uint64_t index) {
    const uint64_t step = 0x9e3779b97f4a7c15u;
    return presil_mix(presil_mix(seed + step) + (index + 1) * step);
}

/* Round up in magnitude? kept: the bits that stay; rest of `width` bits: those that go. */
PRESIL_INLINE int presil_up(int mode, uint64_t kept, uint64_t rest, int width, uint32_t random) {
    if (mode == PRESIL_ZERO || rest == 0) return 0;
    if (mode == PRESIL_STOCHASTIC) {
        if (width >= 64) return 0;  /* below 2^-11 of a unit: treated as 0 */
        return random < (uint32_t)(width <= 32 ? rest << (32 - width) : rest >> (width - 32));
    }
    if (width >= 64) return 0;
    uint64_t half = (uint64_t)1 << (width - 1);
    return rest > half || (rest == half && (mode == PRESIL_AWAY || (kept & 1)));
}

/* Bits of mantissa of a hif8 value with this exponent (HiFloat8 table 2). */
PRESIL_INLINE int presil_hif8_mantissa(int e) {
    int a = e < 0 ? -e : e;
    return a <= 3 ? 3 : a <= 7 ? 2 : a <= 15 ? 1 : 0;
}

/* Low 32 bits of an integer-valued double, any magnitude. */
PRESIL_INLINE uint32_t presil_low_bits(double integer) {
    uint64_t u = presil_bits64(integer), m = (u & 0xfffffffffffffu) | 0x10000000000000u;
    int e = (int)(u >> 52 & 2047) - 1075;
    uint64_t v = e >= 32 || e < -52 ? 0 : e >= 0 ? m << e : m >> -e;
    return (uint32_t)(u >> 63 ? -v : v);
}

PRESIL_INLINE uint32_t presil_int_code(
    const presil_format *f, double x, int mode, int saturate, uint32_t random) {
    if (x != x) return 0;
    double a = x < 0 ? -x : x, t = a;
    if (a < 4503599627370496.0) {  /* 2^52: above, every double is an integer */
        t = (double)(int64_t)a;
        double rest = a - t;
        uint64_t bits = (uint64_t)(rest * 4503599627370496.0);
        t += presil_up(mode, (uint64_t)(int64_t)t, bits, 52, random);
    }
    if (x < 0) t = -t;
    if (saturate) return presil_low_bits(t < f->low ? f->low : t > f->high ? f->high : t);
    if (a > 1.7976931348623157e308) return 0;
    uint32_t v = presil_low_bits(t);
    return f->low == -8 ? (uint32_t)((int32_t)(v << 28) >> 28) : v;  /* int4: sign-extended */
}

/* The code of x, every mode and format: the definition. */
static uint32_t presil_code_of(
    const presil_format *f, double x, int mode, int saturate, uint32_t random) {
    if (f->kind == PRESIL_INT) return presil_int_code(f, x, mode, saturate, random);
    if (f->mantissa == 23) saturate = 0;  /* fp32 has no saturating mode */
    uint64_t u = presil_bits64(x), a = u & 0x7fffffffffffffffu;
    uint32_t sign = (uint32_t)(u >> 63) << f->sign_bit;
    if (a > 0x7ff0000000000000u) return (uint32_t)f->nan_code << f->code_shift;
    int e = (int)(a >> 52) - 1023, unit, smallest = 1 - f->bias;
    uint64_t significand = (a & 0xfffffffffffffu) | (e > -1023 ? 0x10000000000000u : 0);
    if (e == -1023) e = -1022;
    if (f->kind == PRESIL_SCALE) {
        if (a == 0) return saturate ? 0 : (uint32_t)f->nan_code;
        if (sign) return (uint32_t)f->nan_code;
        unit = e;
    } else if (f->kind == PRESIL_TAPERED) {
        if (mode == PRESIL_EVEN) mode = PRESIL_AWAY;  /* its only nearest mode */
        unit = e < -22 ? -22 : e - presil_hif8_mantissa(e);
    } else {
        unit = (e < smallest ? smallest : e) - f->mantissa;
    }
    int32_t code;
    int shift = unit - (e - 52);  /* at least 29: the widest mantissa has 23 bits */
    uint64_t kept = shift >= 64 ? 0 : significand >> shift;
    uint64_t rest = shift >= 64 ? significand : significand & (((uint64_t)1 << shift) - 1);
    kept += presil_up(mode, kept, rest, shift, random);
    if (a == 0x7ff0000000000000u) {
        code = f->max_code + 1;
    } else if (f->kind == PRESIL_SCALE) {
        code = e + f->bias < 0 ? 0 : e + f->bias + (int)kept - 1;
        if (mode == PRESIL_ZERO && code > f->max_code) code = f->max_code;
    } else if (f->kind == PRESIL_TAPERED) {
        double v = (double)kept * presil_pow2(unit < -1000 ? -1000 : unit > 900 ? 900 : unit);
        code = v == 0 ? 0 : v > 32768 && mode != PRESIL_ZERO ? f->max_code + 1
             : presil_hif8_codes[1][presil_bits32((float)(v > 32768 ? 32768 : v)) >> 20];
        if (v == 0) sign = 0;  /* the code of -0 is NaN */
    } else {
        code = e < smallest ? (int32_t)kept
             : e > 127 ? f->max_code + 1  /* beyond every format; the shift would overflow */
             : ((e + f->bias) << f->mantissa) + (int32_t)(kept - ((uint64_t)1 << f->mantissa));
        if (mode == PRESIL_ZERO && code > f->max_code) code = f->max_code;
    }
    if (f->kind == PRESIL_TAPERED ? code == f->max_code + 1 : code > f->max_code)
        code = saturate ? f->max_code : f->over_code;
    return ((uint32_t)code | sign) << f->code_shift;
}

/* The value of a code: for building tables, and the definition of decoding. */
static float presil_value_of(const presil_format *f, uint32_t code) {
    code >>= f->code_shift;
    if (f->kind == PRESIL_SCALE) {
        if (code == (uint32_t)f->nan_code) return presil_f32(PRESIL_NAN);
        return (float)presil_pow2((int)code - f->bias);
    }
    if (f->kind == PRESIL_INT) {
        if (f->low == 0) return (float)code;
        return (float)(f->low == -8 ? (int32_t)(code << 28) >> 28 : (int32_t)(int8_t)code);
    }
    uint32_t a = code & ((1u << f->sign_bit) - 1);
    float sign = code >> f->sign_bit & 1 ? -1.0f : 1.0f;
    if (f->kind == PRESIL_TAPERED) {
        if (code == (uint32_t)f->nan_code) return presil_f32(PRESIL_NAN);
        if (a == (uint32_t)f->max_code + 1) return sign * presil_f32(0x7f800000u);
        if (a < 8) return a ? sign * (float)presil_pow2((int)a - 23) : 0.0f;
        /* S | dot | exponent sign and magnitude bits below an implicit 1 | mantissa */
        int width = a >= 0x60 ? 3 : a >= 0x40 ? 2 : a >= 0x20 ? 1 : 0;
        int mantissa = width == 3 ? 1 : width == 2 ? 2 : 3, e = 0;
        if (a >= 0x10) {
            e = (1 << width) | (int)(a >> mantissa & ((1u << width) - 1));
            if (a >> (mantissa + width) & 1) e = -e;
        }
        int fraction = (1 << mantissa) | (int)(a & ((1u << mantissa) - 1));
        return sign * (float)(fraction * presil_pow2(e - mantissa));
    }
    if (a > (uint32_t)f->max_code) {
        int infinite = f->over_code == f->max_code + 1 && f->over_code != f->nan_code;
        if (!infinite || a != (uint32_t)f->over_code) return presil_f32(PRESIL_NAN);
        return sign * presil_f32(0x7f800000u);
    }
    int e = (int)(a >> f->mantissa);
    double m = (double)(a & ((1u << f->mantissa) - 1));
    if (e) m += presil_pow2(f->mantissa); else e = 1;
    return sign * (float)(m * presil_pow2(e - f->bias - f->mantissa));
}

static void presil_build_tables(void) {
    for (int i = 0; i < PRESIL_FORMATS; i++)
        if (presil_formats[i].bytes == 1)
            for (int code = 0; code < 256; code++)
                presil_values[i][code] = presil_value_of(&presil_formats[i], (uint32_t)code);
    for (int i = 0; i < PRESIL_FORMATS; i++) {
        const presil_format *f = &presil_formats[i];
        if (f->kind != PRESIL_TAPERED) continue;
        /* Truncation of a magnitude to a code: the largest value not above it. */
        for (uint32_t top = 0; top < 2048; top++) {
            float x = presil_f32(top << 20), best = 0;
            int code = 0;
            for (int c = 0; c < 128; c++) {
                float v = presil_values[i][c];
                if (c != f->over_code && v <= x && v > best) best = v, code = c;
            }
            int over = x >= 1.5f * (float)f->high;
            presil_hif8_codes[1][top] = (uint8_t)(over ? f->max_code : code);
            presil_hif8_codes[0][top] = (uint8_t)(over ? f->over_code : code);
        }
        /* Below the smallest value the half is a whole binade: everything from 2^-23 on goes up. */
        for (int e = -127; e <= 128; e++)
            presil_hif8_half[e + 127] = e < -23 || e > 15 ? 0 : e == -23 ? 1u << 23
                                      : 1u << (22 - presil_hif8_mantissa(e));
    }
}

/* --- nearest even, vectorised ---------------------------------------------------------------- */

/* Normal results: add half an ulp less one, plus the last kept bit, and shift. Subnormal results:
   adding `magic`, whose ulp is the smallest subnormal, makes the FPU round there. Both carry into
   the exponent. */
#define PRESIL_NEAREST(NAME, TYPE)                                                                \\
PRESIL_CLONES static void NAME(const presil_format *f, const float *x, TYPE *out,                 \\
                               ptrdiff_t n, int saturate) {                                       \\
    const int drop = 23 - f->mantissa, sign_bit = f->sign_bit, code_shift = f->code_shift;        \\
    const uint32_t below_half = (1u << (drop - 1)) - 1;                                           \\
    const uint32_t rebias = (uint32_t)(127 - f->bias) << f->mantissa;                             \\
    const int32_t least = (int32_t)(128 - f->bias) << 23, most = f->max_code, nan = f->nan_code;  \\
    const int32_t over = saturate ? f->max_code : f->over_code;                                   \\
    const uint32_t magic_bits = (uint32_t)(127 + 1 - f->bias - f->mantissa + 23) << 23;           \\
    const float magic = presil_f32(magic_bits);                                                   \\
    PRESIL_LANES                                                                                  \\
    for (ptrdiff_t i = 0; i < n; i++) {                                                           \\
        uint32_t u = presil_bits32(x[i]), a = u & 0x7fffffffu;                                    \\
        uint32_t normal = ((a + below_half + (a >> drop & 1)) >> drop) - rebias;                  \\
        uint32_t small = presil_bits32(presil_f32(a) + magic) - magic_bits;                       \\
        int32_t code = (int32_t)presil_pick((int32_t)a < least, small, normal);                   \\
        code = code > most ? over : code;                                                         \\
        code |= (int32_t)((u >> 31) << sign_bit);                                                 \\
        code = (int32_t)a > 0x7f800000 ? nan : code;                                              \\
        out[i] = (TYPE)((uint32_t)code << code_shift);                                            \\
    }                                                                                             \\
}
PRESIL_NEAREST(presil_nearest8, uint8_t)
PRESIL_NEAREST(presil_nearest16, uint16_t)
PRESIL_NEAREST(presil_nearest32, uint32_t)

PRESIL_CLONES static void presil_canonical(const float *x, float *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t u = presil_bits32(x[i]);
        out[i] = presil_f32(presil_pick((int32_t)(u & 0x7fffffffu) > 0x7f800000, PRESIL_NAN, u));
    }
}

/* Clamped integers: 1.5 * 2^52 has an ulp of 1, so adding it rounds; the sum's low bits are the
   integer. */
#define PRESIL_INTEGER(NAME, FROM, TYPE)                                                          \\
PRESIL_CLONES static void NAME(const presil_format *f, const FROM *x, TYPE *out,                  \\
                               ptrdiff_t n) {                                                     \\
    const double low = f->low, high = f->high;                                                    \\
    PRESIL_LANES                                                                                  \\
    for (ptrdiff_t i = 0; i < n; i++) {                                                           \\
        double v = (double)x[i];                                                                  \\
        v = v == v ? v : 0.0;                                                                     \\
        v = v < low ? low : v;                                                                    \\
        v = v > high ? high : v;                                                                  \\
        out[i] = (TYPE)presil_bits64(v + 6755399441055744.0);                                     \\
    }                                                                                             \\
}
PRESIL_INTEGER(presil_integer8, float, uint8_t)
PRESIL_INTEGER(presil_integer32, float, uint32_t)
PRESIL_INTEGER(presil_integer8d, double, uint8_t)
PRESIL_INTEGER(presil_integer32d, double, uint32_t)

static void presil_hif8_nearest(const float *x, uint8_t *out, ptrdiff_t n, int saturate, int nan) {
    const uint8_t *codes = presil_hif8_codes[saturate != 0];
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t u = presil_bits32(x[i]), a = u & 0x7fffffffu;
        uint32_t code = codes[(a + presil_hif8_half[a >> 23]) >> 20];
        code |= code ? u >> 31 << 7 : 0;  /* there is no -0 */
        out[i] = (uint8_t)(a > 0x7f800000u ? (uint32_t)nan : code);
    }
}

static void presil_store(int bytes, void *codes, ptrdiff_t i, uint32_t code) {
    if (bytes == 1) ((uint8_t *)codes)[i] = (uint8_t)code;
    else if (bytes == 2) ((uint16_t *)codes)[i] = (uint16_t)code;
    else ((uint32_t *)codes)[i] = code;
}

#define PRESIL_ENCODE_ANY(NAME, FROM)                                                             \\
static void NAME(const presil_format *f, const FROM *x, void *codes, ptrdiff_t n, int saturate,   \\
                 int mode, uint64_t seed, uint64_t first) {                                       \\
    for (ptrdiff_t i = 0; i < n; i++) {                                                           \\
        uint64_t random = mode == PRESIL_STOCHASTIC ? presil_random(seed, first + i) >> 32 : 0;   \\
        uint32_t code = presil_code_of(f, (double)x[i], mode, saturate, (uint32_t)random);        \\
        presil_store(f->bytes, codes, i, code);                                                   \\
    }                                                                                             \\
}
PRESIL_ENCODE_ANY(presil_encode_any32, float)
PRESIL_ENCODE_ANY(presil_encode_any64, double)

static void presil_encode32(int fmt, const float *x, void *codes, ptrdiff_t n, int saturate) {
    const presil_format *f = &presil_formats[fmt];
    if (f->kind == PRESIL_FLOAT) {
        if (f->mantissa == 23) presil_canonical(x, (float *)codes, n);
        else if (f->bytes == 1) presil_nearest8(f, x, (uint8_t *)codes, n, saturate);
        else if (f->bytes == 2) presil_nearest16(f, x, (uint16_t *)codes, n, saturate);
        else presil_nearest32(f, x, (uint32_t *)codes, n, saturate);
    } else if (f->kind == PRESIL_TAPERED) {
        presil_hif8_nearest(x, (uint8_t *)codes, n, saturate, f->nan_code);
    } else if (f->kind == PRESIL_INT && saturate) {
        if (f->bytes == 1) presil_integer8(f, x, (uint8_t *)codes, n);
        else presil_integer32(f, x, (uint32_t *)codes, n);
    } else {
        presil_encode_any32(f, x, codes, n, saturate, PRESIL_EVEN, 0, 0);
    }
}

PRESIL_CLONES static void presil_narrow(const double *x, float *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) {
        float y = (float)x[i];
        out[i] = presil_f32(presil_pick(y == y, presil_bits32(y), PRESIL_NAN));
    }
}

/* Round to odd: truncate, and set the last bit if anything was lost. A second rounding to at most
   22 bits then gives what a single one would have given, in every direction. */
PRESIL_CLONES static void presil_odd(const double *x, float *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) {
        float y = (float)x[i];
        double back = (double)y, a = __builtin_fabs(x[i]), b = __builtin_fabs(back);
        uint32_t u = presil_bits32(y);
        u -= b > a;
        u |= b != a;
        out[i] = presil_f32(presil_pick(y == y, u, PRESIL_NAN));
    }
}

static void presil_encode64(int fmt, const double *x, void *codes, ptrdiff_t n, int saturate) {
    const presil_format *f = &presil_formats[fmt];
    if (f->kind == PRESIL_FLOAT && f->mantissa == 23) {
        presil_narrow(x, (float *)codes, n);
    } else if (f->kind == PRESIL_INT && saturate) {
        if (f->bytes == 1) presil_integer8d(f, x, (uint8_t *)codes, n);
        else presil_integer32d(f, x, (uint32_t *)codes, n);
    } else if (f->kind == PRESIL_INT || f->kind == PRESIL_SCALE) {
        presil_encode_any64(f, x, codes, n, saturate, PRESIL_EVEN, 0, 0);
    } else {
        float odd[256];
        for (ptrdiff_t i = 0; i < n; i += 256) {
            ptrdiff_t m = n - i < 256 ? n - i : 256;
            presil_odd(x + i, odd, m);
            presil_encode32(fmt, odd, (char *)codes + i * f->bytes, m, saturate);
        }
    }
}

/* --- decoding -------------------------------------------------------------------------------- */

PRESIL_CLONES static void presil_decode_bf16(const uint16_t *codes, float *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) out[i] = presil_f32((uint32_t)codes[i] << 16);
}

PRESIL_CLONES static void presil_decode_fp16(const uint16_t *codes, float *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t h = codes[i];
        int32_t a = (int32_t)(h & 0x7fff);
        uint32_t normal = ((uint32_t)a << 13) + (112u << 23);
        normal += a >= 0x7c00 ? 112u << 23 : 0;  /* Inf and NaN: to the top exponent */
        uint32_t small = presil_bits32((float)a * 5.9604644775390625e-08f);  /* 2^-24, exact */
        out[i] = presil_f32(presil_pick(a < 0x400, small, normal) | (h & 0x8000) << 16);
    }
}

PRESIL_CLONES static void presil_i8_f32(const int8_t *x, float *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (float)x[i];
}

PRESIL_CLONES static void presil_i32_f32(const int32_t *x, float *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (float)x[i];
}

PRESIL_CLONES static void presil_i32_f64(const int32_t *x, double *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (double)x[i];
}

PRESIL_CLONES static void presil_widen(const float *x, double *out, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (double)x[i];
}

/* Floats of a byte by arithmetic: the bits moved into a float32's, what has no leading bit lifted by
   one and less what that adds. Whether all codes are finite; else the table has the values. */
PRESIL_CLONES static int presil_decode_small(
    const presil_format *f, const uint8_t *codes, float *out, ptrdiff_t n) {
    uint32_t sign = 1u << f->sign_bit, most = 0, least = 1u << f->mantissa;
    uint32_t shift = 23 - (uint32_t)f->mantissa, up = 31 - (uint32_t)f->sign_bit;
    uint32_t zero = (uint32_t)(127 - f->bias) << 23;
    float lifted = presil_f32(zero + (1u << 23));
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t code = codes[i], m = code & ~sign, low = 0u - (m < least);
        float v = presil_f32((m << shift) + zero + (low & 1u << 23))
            - presil_f32(low & presil_bits32(lifted));
        out[i] = presil_f32(presil_bits32(v) | (code & sign) << up);
        most = m > most ? m : most;
    }
    return most <= (uint32_t)f->max_code;
}

static void presil_decode32(int fmt, const void *codes, float *out, ptrdiff_t n) {
    const presil_format *f = &presil_formats[fmt];
    if (f->bytes == 1 && f->low == -128) {
        presil_i8_f32((const int8_t *)codes, out, n);
    } else if (f->bytes == 1) {
        if (f->kind == PRESIL_FLOAT && presil_decode_small(f, (const uint8_t *)codes, out, n)) return;
        const float *values = presil_values[fmt];
        const uint8_t *c = (const uint8_t *)codes;
        for (ptrdiff_t i = 0; i < n; i++) out[i] = values[c[i]];
    } else if (f->kind == PRESIL_INT) presil_i32_f32((const int32_t *)codes, out, n);
    else if (f->bytes == 4) memmove(out, codes, (size_t)n * 4);
    else if (f->mantissa == 7) presil_decode_bf16((const uint16_t *)codes, out, n);
    else presil_decode_fp16((const uint16_t *)codes, out, n);
}

static void presil_decode64(int fmt, const void *codes, double *out, ptrdiff_t n) {
    const presil_format *f = &presil_formats[fmt];
    if (f->bytes == 4 && f->kind == PRESIL_INT) {
        presil_i32_f64((const int32_t *)codes, out, n);
    } else if (f->bytes == 4) {
        presil_widen((const float *)codes, out, n);
    } else {
        float part[256];
        for (ptrdiff_t i = 0; i < n; i += 256) {
            ptrdiff_t m = n - i < 256 ? n - i : 256;
            presil_decode32(fmt, (const char *)codes + i * f->bytes, part, m);
            presil_widen(part, out + i, m);
        }
    }
}

PRESIL_CLONES static void presil_sat_add(int32_t *acc, const int32_t *x, ptrdiff_t n) {
    PRESIL_LANES
    for (ptrdiff_t i = 0; i < n; i++) {
        int32_t sum = (int32_t)((uint32_t)acc[i] + (uint32_t)x[i]);
        int32_t limit = (int32_t)(((uint32_t)acc[i] >> 31) + 0x7fffffffu);
        int32_t over = (acc[i] ^ sum) & (x[i] ^ sum);  /* both signs differ from the sum's */
        acc[i] = over < 0 ? limit : sum;
    }
}
    """
    ctypedef struct presil_format:
        int kind, bytes, mantissa, bias, sign_bit, code_shift
        int32_t max_code, over_code, nan_code
        double low, high, span
    const int PRESIL_FORMATS
    presil_format presil_formats[]
    void presil_build_tables() noexcept nogil
    uint64_t presil_random(uint64_t seed, uint64_t index) noexcept nogil
    void presil_decode32(int fmt, const void *codes, float *out, Py_ssize_t n) noexcept nogil
    void presil_decode64(int fmt, const void *codes, double *out, Py_ssize_t n) noexcept nogil
    void presil_encode32(
        int fmt, const float *x, void *codes, Py_ssize_t n, int saturate) noexcept nogil
    void presil_encode64(
        int fmt, const double *x, void *codes, Py_ssize_t n, int saturate) noexcept nogil
    void presil_encode_any32(
        const presil_format *f, const float *x, void *codes, Py_ssize_t n, int saturate, int mode,
        uint64_t seed, uint64_t first) noexcept nogil
    void presil_encode_any64(
        const presil_format *f, const double *x, void *codes, Py_ssize_t n, int saturate, int mode,
        uint64_t seed, uint64_t first) noexcept nogil
    void presil_canonical(const float *x, float *out, Py_ssize_t n) noexcept nogil
    void presil_narrow(const double *x, float *out, Py_ssize_t n) noexcept nogil
    void presil_i32_f32(const int32_t *x, float *out, Py_ssize_t n) noexcept nogil
    void presil_sat_add(int32_t *acc, const int32_t *x, Py_ssize_t n) noexcept nogil


cdef int code_bytes(int fmt) noexcept nogil:
    return presil_formats[fmt].bytes


cdef void decode_to_f32(int fmt, const void* codes, float* out, Py_ssize_t n) noexcept nogil:
    presil_decode32(fmt, codes, out, n)


cdef void decode_to_f64(int fmt, const void* codes, double* out, Py_ssize_t n) noexcept nogil:
    presil_decode64(fmt, codes, out, n)


cdef void encode_from_f32(
        int fmt, const float* x, void* codes, Py_ssize_t n, bint saturate) noexcept nogil:
    presil_encode32(fmt, x, codes, n, saturate)


cdef void encode_from_f32_rounded(
        int fmt, const float* x, void* codes, Py_ssize_t n, bint saturate,
        int rounding, uint64_t seed, uint64_t first) noexcept nogil:
    if rounding == NEAREST_EVEN:
        presil_encode32(fmt, x, codes, n, saturate)
    else:
        presil_encode_any32(&presil_formats[fmt], x, codes, n, saturate, rounding, seed, first)


cdef void encode_from_f64_rounded(
        int fmt, const double* x, void* codes, Py_ssize_t n, bint saturate,
        int rounding, uint64_t seed, uint64_t first) noexcept nogil:
    if rounding == NEAREST_EVEN:
        presil_encode64(fmt, x, codes, n, saturate)
    else:
        presil_encode_any64(&presil_formats[fmt], x, codes, n, saturate, rounding, seed, first)


cdef void f64_to_f32(const double* x, float* out, Py_ssize_t n) noexcept nogil:
    presil_narrow(x, out, n)


cdef void i32_to_f32(const int32_t* x, float* out, Py_ssize_t n) noexcept nogil:
    presil_i32_f32(x, out, n)


cdef void f32_to_i32(const float* x, int32_t* out, Py_ssize_t n, bint saturate) noexcept nogil:
    presil_encode32(INT32, x, out, n, saturate)


cdef void canonical_nan(float* x, Py_ssize_t n) noexcept nogil:
    presil_canonical(x, x, n)


cdef uint64_t random_bits(uint64_t seed, uint64_t index) noexcept nogil:
    return presil_random(seed, index)


cdef void sat_add_i32(int32_t* acc, const int32_t* x, Py_ssize_t n) noexcept nogil:
    presil_sat_add(acc, x, n)
