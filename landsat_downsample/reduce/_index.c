/* The index of pixels of two or three bands as whole numbers, and sums of such: what index_pixels.py and values.py make,
 * bit for bit. Numerator and denominator are sums of whole multiples of whole numbers below 2**53, exact in any order. */
#define PY_SSIZE_T_CLEAN
#include "_index.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_axis.h"
#include "_fast.h"

#define BUFFERS 7
#define BANDS 3
#define MOST 9007199254740992.0 /* 2**53 */

static PyObject *done(Py_buffer *b, int good)
{
    for (int i = 0; i < BUFFERS; i++)
        if (b[i].obj) PyBuffer_Release(&b[i]);
    if (good) Py_RETURN_NONE;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_BufferError, "array sizes do not agree");
    return NULL;
}

typedef struct {
    double above[BANDS + 1], below[BANDS + 1]; /* of each band, and the constant */
    double low, high, scale;                   /* limits, and in how many parts 1 is counted */
} Formula;

/* A number that 16 bits may hold; another one if they do not. */
static inline int32_t as_32(int64_t v) { return v < INT16_MIN || v > UINT16_MAX ? INT32_MAX : (int32_t)v; }

#define INDEX(NAME, TYPE)                                                                                               \
    FAST static void NAME(const TYPE *restrict a, const TYPE *restrict b, const TYPE *restrict c, const int64_t *nodata, \
                          const uint8_t *restrict ok, const Formula *f, int32_t *restrict out, int64_t n)                \
    {                                                                                                                   \
        const double magic = 6755399441055744.0; /* 1.5 * 2**52: adding it rounds to whole numbers, half to even */      \
        const double a0 = f->above[0], a1 = f->above[1], a2 = f->above[2], a3 = f->above[3];                             \
        const double b0 = f->below[0], b1 = f->below[1], b2 = f->below[2], b3 = f->below[3];                             \
        const double low = f->low, high = f->high, scale = f->scale;                                                    \
        const int32_t none0 = as_32(nodata[0]), none1 = as_32(nodata[1]), none2 = as_32(nodata[2]);                      \
        for (int64_t i = 0; i < n; i++) {                                                                               \
            const double x = a[i], y = b[i], z = c[i];                                                                  \
            const double above = a0 * x + a1 * y + a2 * z + a3, below = b0 * x + b1 * y + b2 * z + b3;                   \
            double ratio = above / (below != 0 ? below : 1);                                                            \
            ratio = ratio < low ? low : ratio;                                                                          \
            ratio = ratio > high ? high : ratio;                                                                        \
            ratio = (ratio * scale + magic) - magic;                                                                    \
            out[i] = (int32_t)(below != 0 ? ratio : INT32_MIN);                                                         \
        }                                                                                                               \
        for (int64_t i = 0; i < n; i++)                                                                                 \
            out[i] = (a[i] != none0) & (b[i] != none1) & (c[i] != none2) ? out[i] : INT32_MIN;                          \
        for (int64_t i = 0; ok && i < n; i++) out[i] = ok[i] ? out[i] : INT32_MIN;                                      \
    }

INDEX(index_of_unsigned, uint16_t)
INDEX(index_of_signed, int16_t)

/* index_pixels(a, b, c, ok, formula, nodata, signed, out): `formula` is float64 (above, below, low, high, scale), `nodata`
 * int64 of each band, or what 16 bits do not hold; `ok` is bytes or None; out is int32, INT32_MIN where there is none. */
PyObject *index_pixels(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    int is_signed;
    int good = PyArg_ParseTuple(args, "y*y*y*z*y*y*pw*", b, b + 1, b + 2, b + 3, b + 4, b + 5, &is_signed, b + 6)
        && b[1].len == b[0].len && b[2].len == b[0].len && b[6].len == 2 * b[0].len
        && (!b[3].buf || b[3].len == b[0].len / 2) && b[4].len == sizeof(Formula) && b[5].len == 8 * BANDS;
    if (good) {
        Formula f;
        memcpy(&f, b[4].buf, sizeof f);
        for (int i = 0; i <= BANDS; i++) /* false of what is no number */
            good = good && fabs(f.above[i]) <= MOST && fabs(f.below[i]) <= MOST;
        good = good && f.scale >= 1 && f.scale <= 1 << 30 && f.low * f.scale >= -(1 << 30) && f.high * f.scale <= 1 << 30;
        if (good) {
            Py_BEGIN_ALLOW_THREADS
            if (is_signed) index_of_signed(b[0].buf, b[1].buf, b[2].buf, b[5].buf, b[3].buf, &f, b[6].buf, b[0].len / 2);
            else index_of_unsigned(b[0].buf, b[1].buf, b[2].buf, b[5].buf, b[3].buf, &f, b[6].buf, b[0].len / 2);
            Py_END_ALLOW_THREADS
        }
    }
    return done(b, good);
}

/* Add a pixel row to the sums and weights of a cell row; what equals `none`, if that is a number of 32 bits, adds nothing. */
FAST static void add_whole(const int32_t *restrict v, const uint8_t *restrict ok, int64_t none, int64_t w,
                           int64_t *restrict sum, uint32_t *restrict count, int64_t n)
{
    const int32_t empty = (int32_t)none;
    const int any = none == empty;
    if (any && !ok && w == 1)
        for (int64_t i = 0; i < n; i++) sum[i] += v[i] != empty ? v[i] : 0, count[i] += v[i] != empty;
    else
        for (int64_t i = 0; i < n; i++) {
            const int64_t by = (!any || v[i] != empty) && (!ok || ok[i]) ? w : 0;
            sum[i] += v[i] * by, count[i] += (uint32_t)by;
        }
}

/* Add the columns of a cell row up into its cells; as unsigned numbers, which may wrap where sums are too large. */
static void add_cells(const int64_t *sum, const uint32_t *count, const Axis *x, int64_t *total, int64_t *weights)
{
    for (int64_t i = 0; i < x->n; i++) {
        const int64_t a = x->start[i], b = x->stop[i];
        const uint64_t unit = (uint64_t)x->unit, head = (uint64_t)x->head[i] - unit, tail = (uint64_t)x->tail[i] - unit;
        uint64_t s = 0, c = 0;
        for (int64_t p = a; p < b; p++) s += (uint64_t)sum[p], c += count[p];
        s *= unit, c *= unit;
        if (a < b) s += (uint64_t)sum[a] * head, c += count[a] * head;
        if (b - a > 1) s += (uint64_t)sum[b - 1] * tail, c += count[b - 1] * tail;
        total[i] = (int64_t)s, weights[i] = (int64_t)c;
    }
}

/* whole_sums(values, ok, width, none, rows, columns, totals, counts): as `sums` in _native.c, of int32. Sums must fit
 * int64. */
PyObject *whole_sums(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    Axis y = {0}, x = {0};
    long long width, none;
    int64_t *lane = NULL;
    int good = PyArg_ParseTuple(args, "y*z*LL(y*LL)(y*LL)w*w*", b, b + 1, &width, &none, b + 2, &y.unit, &y.block, b + 3,
                                &x.unit, &x.block, b + 4, b + 5)
        && width > 0 && axis_fits(&y, b + 2, b[0].len / 4 / width) && axis_fits(&x, b + 3, width)
        && (!b[1].buf || b[1].len >= b[0].len / 4) && holds(b + 4, 8, y.n, x.n) && holds(b + 5, 8, y.n, x.n)
        && ((lane = malloc(12 * width)) || PyErr_NoMemory());
    if (good) {
        uint32_t *count = (uint32_t *)(lane + width);
        Py_BEGIN_ALLOW_THREADS
        for (int64_t k = 0; k < y.n; k++) {
            memset(lane, 0, 12 * width);
            for (int64_t r = y.start[k]; r < y.stop[k]; r++)
                add_whole((const int32_t *)b[0].buf + r * width, b[1].buf ? (const uint8_t *)b[1].buf + r * width : NULL, none,
                          weight(&y, k, r), lane, count, width);
            add_cells(lane, count, &x, (int64_t *)b[4].buf + k * x.n, (int64_t *)b[5].buf + k * x.n);
        }
        Py_END_ALLOW_THREADS
    }
    free(lane);
    return done(b, good);
}
