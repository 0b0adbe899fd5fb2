/* The cells of an axis, as Python hands them over: an int64 array (4, n) of start, stop, head and tail of each, in pixels
 * of the array at hand. A pixel weighs `head` if it is the first of its cell, `tail` if it is the last, else `unit`; `block`
 * is the size of whole blocks, or 0. */
#ifndef LANDSAT_DOWNSAMPLE_AXIS_H
#define LANDSAT_DOWNSAMPLE_AXIS_H

#include <Python.h>
#include <stdint.h>

typedef struct {
    const int64_t *start, *stop, *head, *tail;
    int64_t n, most; /* cells, and the greatest weight of one */
    long long unit, block;
} Axis;

/* Weights fit 30 bits, so that weighted sums of what has 32 fit 63. */
enum { MOST_UNIT = 1 << 28, MOST_WEIGHT = (1 << 30) - 1 };

/* What the pixels of a cell weigh together. */
static inline int64_t extent(const Axis *x, int64_t cell)
{
    const int64_t wide = x->stop[cell] - x->start[cell];
    return !wide ? 0 : x->head[cell] + (wide > 1 ? (wide - 2) * x->unit + x->tail[cell] : 0);
}

/* Whether cells lie within the pixels of an axis, and weigh what they may. */
static inline int axis_fits(Axis *x, const Py_buffer *data, int64_t pixels)
{
    int64_t n = x->n = data->len / 32;
    x->start = data->buf, x->stop = x->start + n, x->head = x->stop + n, x->tail = x->head + n;
    if (x->unit < 1 || x->unit > MOST_UNIT || x->block < 0 || x->block > INT32_MAX || pixels > INT32_MAX || n > INT32_MAX)
        return 0;
    for (int64_t i = 0; i < n; i++) {
        if (x->start[i] < 0 || x->start[i] > x->stop[i] || x->stop[i] > pixels) return 0;
        if (x->start[i] == x->stop[i]) continue;
        if (x->head[i] < 0 || x->head[i] > x->unit || x->tail[i] < 0 || x->tail[i] > x->unit) return 0;
        if (extent(x, i) > x->most) x->most = extent(x, i);
    }
    return x->most <= MOST_WEIGHT;
}

/* Whether an array has room for some rows and columns of items. */
static inline int holds(const Py_buffer *data, int64_t item, int64_t rows, int64_t columns)
{
    return rows >= 0 && columns >= 0 && (!columns || rows <= data->len / item / columns);
}

static inline int64_t weight(const Axis *x, int64_t cell, int64_t at)
{
    return at == x->start[cell] ? x->head[cell] : at == x->stop[cell] - 1 ? x->tail[cell] : x->unit;
}

#endif
