/* Loops over pixels for which NumPy needs several passes.
 *
 * Every function checks all sizes before it touches memory, releases the GIL, and gives what the
 * NumPy code of _kernels, _reduce and _quality gives, bit for bit; without this module that code runs.
 *
 * Pixels are 16 bits wide. An axis is (int64 array (4, n), unit, block): start, stop, head and tail
 * of each cell, as in _grid.Cells, in pixels of the array at hand. A pixel weighs `head` if it is the
 * first of its cell, `tail` if it is the last, else `unit`; `block` is the size of whole blocks, or 0.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define FAST __attribute__((target_clones("avx2", "default")))
#else
#define FAST
#endif

typedef uint16_t pixel;

typedef struct {
    const int64_t *start, *stop, *head, *tail;
    int64_t n;
    long long unit, block;
} Axis;

static int axis_fits(Axis *x, const Py_buffer *data, int64_t pixels)
{
    int64_t n = x->n = data->len / 32;
    x->start = data->buf, x->stop = x->start + n, x->head = x->stop + n, x->tail = x->head + n;
    for (int64_t i = 0; i < n; i++)
        if (x->start[i] < 0 || x->start[i] > x->stop[i] || x->stop[i] > pixels) return 0;
    return x->block >= 0;
}

static inline int64_t weight(const Axis *x, int64_t cell, int64_t at)
{
    return at == x->start[cell] ? x->head[cell] : at == x->stop[cell] - 1 ? x->tail[cell] : x->unit;
}

/* Undo the horizontal predictor of a row: each stored value is the difference from its left neighbour. */
static void undo_8(const uint8_t *from, uint8_t *to, int64_t n)
{
    uint8_t run = 0;
    for (int64_t i = 0; i < n; i++) to[i] = run = (uint8_t)(run + from[i]);
}

static void undo_16(const pixel *from, pixel *to, int64_t n)
{
    int64_t i = 0;
    pixel run = 0;
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) /* sums of 1, 2, 4, then all 8: three times as fast as one by one */
    typedef pixel eight __attribute__((vector_size(16)));
    const eight zero = {0};
    eight last = zero, v;
    for (; i + 8 <= n; i += 8) {
        memcpy(&v, from + i, sizeof v);
        v += __builtin_shufflevector(zero, v, 0, 8, 9, 10, 11, 12, 13, 14);
        v += __builtin_shufflevector(zero, v, 0, 0, 8, 9, 10, 11, 12, 13);
        v += __builtin_shufflevector(zero, v, 0, 0, 0, 0, 8, 9, 10, 11);
        v += last;
        memcpy(to + i, &v, sizeof v);
        last = __builtin_shufflevector(v, v, 7, 7, 7, 7, 7, 7, 7, 7);
    }
    run = last[0];
#endif
#endif
    for (; i < n; i++) to[i] = run = (pixel)(run + from[i]);
}

/* Add a pixel row to the sums and weights of a cell row; what equals nodata, or is not ok, adds nothing. */
FAST static void add_row(const pixel *v, const uint8_t *ok, pixel flip, int64_t nodata, uint32_t w,
                         uint32_t *sum, uint32_t *count, int64_t n)
{
    const pixel empty = (pixel)nodata;
    if (nodata == 0 && !ok && !flip && w == 1)
        for (int64_t i = 0; i < n; i++) sum[i] += v[i], count[i] += v[i] != 0;
    else if (nodata < 0 && !ok)
        for (int64_t i = 0; i < n; i++) sum[i] += (pixel)(v[i] ^ flip) * w, count[i] += w;
    else if (!ok)
        for (int64_t i = 0; i < n; i++) {
            const uint32_t by = v[i] != empty ? w : 0;
            sum[i] += (pixel)(v[i] ^ flip) * by, count[i] += by;
        }
    else
        for (int64_t i = 0; i < n; i++) {
            const uint32_t by = ok[i] && (nodata < 0 || v[i] != empty) ? w : 0;
            sum[i] += (pixel)(v[i] ^ flip) * by, count[i] += by;
        }
}

#define BLOCKS(SIZE)                                                                                         \
    for (; i < full; i++) {                                                                                  \
        int64_t s = 0;                                                                                       \
        for (int64_t k = 0; k < (SIZE); k++) s += row[i * (SIZE) + k];                                       \
        out[i] = s;                                                                                          \
    }

/* Add the weighted columns of a cell row up into its cells. */
FAST static void add_columns(const uint32_t *row, const Axis *x, int64_t width, int64_t *out)
{
    int64_t i = 0, full = x->block ? width / x->block : 0;
    if (full > x->n) full = x->n;
    if (x->block == 2) BLOCKS(2)
    else if (x->block == 3) BLOCKS(3)
    else if (x->block == 4) BLOCKS(4)
    else BLOCKS(x->block)
    for (; i < x->n; i++) {
        int64_t a = x->start[i], b = x->stop[i], s = 0;
        for (int64_t k = a + 1; k < b - 1; k++) s += row[k];
        out[i] = s * x->unit + (b > a ? row[a] * x->head[i] : 0) + (b > a + 1 ? row[b - 1] * x->tail[i] : 0);
    }
}

FAST static void fold_row(const pixel *v, pixel *low, pixel *high, int64_t n)
{
    for (int64_t i = 0; i < n; i++) low[i] &= v[i], high[i] |= v[i];
}

static void fold_columns(const pixel *low, const pixel *high, const Axis *x, pixel *all, pixel *any)
{
    for (int64_t i = 0; i < x->n; i++) {
        all[i] = 0xffff, any[i] = 0;
        for (int64_t k = x->start[i]; k < x->stop[i]; k++) all[i] &= low[k], any[i] |= high[k];
    }
}

/* The exact quotient, rounded half to even, off the fill value unless that is legal: _reduce.Moments. */
FAST static void divide(const int64_t *total, const int64_t *count, pixel *out, int64_t n, const int64_t *rule)
{
    const int64_t fill = rule[0], legal = rule[1], least = rule[2], most = rule[3];
    const double magic = 6755399441055744.0; /* 1.5 * 2**52: adding it rounds to whole numbers, half to even */
    for (int64_t i = 0; i < n; i++) {
        const double ratio = (double)total[i] / (double)(count[i] > 1 ? count[i] : 1);
        int64_t mean = (int64_t)((ratio + magic) - magic);
        if (mean == fill && !legal) mean += fill != most && (fill == least || total[i] >= fill * count[i]) ? 1 : -1;
        out[i] = (pixel)(count[i] ? mean : fill);
    }
}

/* Release the buffers of a call, and return None or raise. */
static PyObject *done(Py_buffer *b, int good)
{
    for (int i = 0; i < 6; i++)
        if (b[i].obj) PyBuffer_Release(&b[i]);
    if (good) Py_RETURN_NONE;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "array sizes do not agree");
    return NULL;
}

/* place(tile, out, itemsize, across, predictor, at, stride, rows, columns): the upper left part of a tile
 * that is `across` wide to `out`, from element `at` on. */
static PyObject *place(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[6] = {{0}};
    long long item, across, predictor, at, stride, rows, columns;
    int good = PyArg_ParseTuple(args, "y*w*LLLLLLL", b, b + 1, &item, &across, &predictor, &at, &stride, &rows, &columns)
        && (item == 1 || item == 2) && rows > 0 && columns > 0 && columns <= across && columns <= stride && at >= 0
        && rows <= b[0].len / item / across && rows - 1 <= b[1].len / item / stride
        && at + (rows - 1) * stride + columns <= b[1].len / item;
    if (good) {
        const char *from = b[0].buf;
        char *to = (char *)b[1].buf + at * item;
        Py_BEGIN_ALLOW_THREADS
        for (; rows > 0; rows--, from += across * item, to += stride * item)
            if (predictor == 2 && item == 1) undo_8((const uint8_t *)from, (uint8_t *)to, columns);
            else if (predictor == 2) undo_16((const pixel *)from, (pixel *)to, columns);
            else memcpy(to, from, columns * item);
        Py_END_ALLOW_THREADS
    }
    return done(b, good);
}

/* sums(values, ok, width, flip, nodata, rows, columns, totals, counts): weighted sums of the valid pixels
 * of each cell, and their weights, int64. `flip` 0x8000 makes int16 of the bits; nodata -1: there is none. */
static PyObject *sums(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[6] = {{0}};
    Axis y = {0}, x = {0};
    long long width, flip, nodata;
    uint32_t *lanes = NULL;
    int good = PyArg_ParseTuple(args, "y*z*LLL(y*LL)(y*LL)w*w*", b, b + 1, &width, &flip, &nodata, b + 2, &y.unit, &y.block,
                                b + 3, &x.unit, &x.block, b + 4, b + 5)
        && width > 0 && axis_fits(&y, b + 2, b[0].len / 2 / width) && axis_fits(&x, b + 3, width)
        && (!b[1].buf || b[1].len >= b[0].len / 2) && b[4].len / 8 >= y.n * x.n && b[5].len / 8 >= y.n * x.n
        && ((lanes = malloc(8 * width)) || PyErr_NoMemory());
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t k = 0; k < y.n; k++) {
            int64_t *total = (int64_t *)b[4].buf + k * x.n, *count = (int64_t *)b[5].buf + k * x.n;
            memset(lanes, 0, 8 * width);
            for (int64_t r = y.start[k]; r < y.stop[k]; r++)
                add_row((const pixel *)b[0].buf + r * width, b[1].buf ? (const uint8_t *)b[1].buf + r * width : NULL,
                        (pixel)flip, nodata, (uint32_t)weight(&y, k, r), lanes, lanes + width, width);
            add_columns(lanes, &x, width, total);
            add_columns(lanes + width, &x, width, count);
            for (int64_t i = 0; flip && i < x.n; i++) total[i] -= flip * count[i];
        }
        Py_END_ALLOW_THREADS
    }
    free(lanes);
    return done(b, good);
}

/* means(totals, counts, out, rule): rule is int64 (fill, whether it is legal, least and most of the type). */
static PyObject *means(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[6] = {{0}};
    int good = PyArg_ParseTuple(args, "y*y*w*y*", b, b + 1, b + 2, b + 3)
        && b[0].len == b[1].len && b[2].len == b[0].len / 4 && b[3].len == 32;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        divide(b[0].buf, b[1].buf, b[2].buf, b[2].len / 2, b[3].buf);
        Py_END_ALLOW_THREADS
    }
    return done(b, good);
}

/* folds(codes, width, rows, columns, all, any): bitwise AND and OR of the pixels that each cell touches. */
static PyObject *folds(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[6] = {{0}};
    Axis y = {0}, x = {0};
    long long width;
    pixel *lanes = NULL;
    int good = PyArg_ParseTuple(args, "y*L(y*LL)(y*LL)w*w*", b, &width, b + 1, &y.unit, &y.block, b + 2, &x.unit, &x.block,
                                b + 3, b + 4)
        && width > 0 && axis_fits(&y, b + 1, b[0].len / 2 / width) && axis_fits(&x, b + 2, width)
        && b[3].len / 2 >= y.n * x.n && b[4].len / 2 >= y.n * x.n && ((lanes = malloc(4 * width)) || PyErr_NoMemory());
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t k = 0; k < y.n; k++) {
            memset(lanes, 0xff, 2 * width), memset(lanes + width, 0, 2 * width);
            for (int64_t r = y.start[k]; r < y.stop[k]; r++)
                fold_row((const pixel *)b[0].buf + r * width, lanes, lanes + width, width);
            fold_columns(lanes, lanes + width, &x, (pixel *)b[3].buf + k * x.n, (pixel *)b[4].buf + k * x.n);
        }
        Py_END_ALLOW_THREADS
    }
    free(lanes);
    return done(b, good);
}

/* Area weight of each code in one cell, code by code; equal neighbours are added up first. */
static void count_cell(const pixel *codes, int64_t width, const Axis *y, const Axis *x, int64_t cell, const int32_t *rank,
                       double *count)
{
    const int64_t k = cell / x->n, c = cell % x->n, first = x->start[c], last = x->stop[c] - 1;
    for (int64_t r = y->start[k]; r < y->stop[k]; r++) {
        const pixel *row = codes + r * width;
        int64_t run = 0;
        for (int64_t p = first; p <= last; p++) {
            run += p == first ? x->head[c] : p == last ? x->tail[c] : x->unit;
            if (p == last || row[p + 1] != row[p]) count[rank[row[p]]] += (double)(weight(y, k, r) * run), run = 0;
        }
    }
}

/* histogram(codes, width, rows, columns, cells, ranks, counts): area weight of each code in some cells, given by
 * flat index; ranks (int32, 65536) tells the column of each code in counts (float64, cells by codes). */
static PyObject *histogram(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[6] = {{0}};
    Axis y = {0}, x = {0};
    long long width;
    int good = PyArg_ParseTuple(args, "y*L(y*LL)(y*LL)y*y*w*", b, &width, b + 1, &y.unit, &y.block, b + 2, &x.unit, &x.block,
                                b + 3, b + 4, b + 5)
        && width > 0 && axis_fits(&y, b + 1, b[0].len / 2 / width) && axis_fits(&x, b + 2, width) && b[4].len == 4 << 16;
    const int64_t n = b[3].len / 8, depth = n ? b[5].len / 8 / n : 0, *cell = b[3].buf;
    const int32_t *rank = b[4].buf;
    for (int64_t i = 0; good && i < n; i++) good = cell[i] >= 0 && cell[i] < y.n * x.n;
    for (int64_t i = 0; good && i < 1 << 16; i++) good = rank[i] >= 0 && rank[i] < depth;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = 0; i < n; i++) count_cell(b[0].buf, width, &y, &x, cell[i], rank, (double *)b[5].buf + i * depth);
        Py_END_ALLOW_THREADS
    }
    return done(b, good);
}

FAST static void count_codes(const pixel *v, int64_t n, int64_t *count)
{
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) { /* most runs of a code are long: compare 64 pixels at once */
        pixel differs = 0;
        for (int64_t k = 0; k < 64; k++) differs |= v[i + k] ^ v[i];
        if (!differs) count[v[i]] += 64;
        else for (int64_t k = 0; k < 64; k++) count[v[i + k]]++;
    }
    for (; i < n; i++) count[v[i]]++;
}

/* tally(codes, counts): add the pixels of each code to counts (int64, 65536). */
static PyObject *tally(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[6] = {{0}};
    int good = PyArg_ParseTuple(args, "y*w*", b, b + 1) && b[1].len == 8 << 16;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        count_codes(b[0].buf, b[0].len / 2, b[1].buf);
        Py_END_ALLOW_THREADS
    }
    return done(b, good);
}

static PyMethodDef functions[] = {
    {"place", place, METH_VARARGS, NULL}, {"sums", sums, METH_VARARGS, NULL},           {"means", means, METH_VARARGS, NULL},
    {"folds", folds, METH_VARARGS, NULL}, {"histogram", histogram, METH_VARARGS, NULL}, {"tally", tally, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fused", NULL, 0, functions, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__fused(void)
{
    return PyModuleDef_Init(&module);
}
