/* How pixels share their area among cells of another projection: the numbers of area_shares.py, in a tenth of the memory.
 *
 * Shares are kept as words of 16 bits, tile after tile of TILE columns, in each pixel after pixel and row after row, so
 * that a tile can be added up as soon as it is decoded. They tell of a current cell, -1 at the start of a tile:
 *
 *   00 length                      some pixels of a row that lie whole in the current cell
 *   01 count, then count parts     one pixel: of each part the cell (two words) and the weight; without a part, a cell
 *                                  (two words) that becomes the current one
 *   1 side moves weight            one pixel: its weight in the current cell (12 bits), the rest in the cell to the
 *                                  right, left, below or above (2 bits), which becomes the current one or not (1 bit)
 *
 * All arithmetic is in one order with that of area_shares.py, so that both give the same weights.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_areas.h"
#include "_fast.h"

enum { UNIT = 4096, MOST_STEP = 16, TILE = 256, LONGEST = (1 << 14) - 1, MOST_SPAN = 64 };
enum { MANY = 1 << 14, TWO = 1 << 15, MOVES = 1 << 12, OUTSIDE = -1 };

typedef uint16_t word;
typedef uint16_t pixel;

/* ------------------------------------------------------------------ making */

typedef struct {
    word *to;
    size_t count, room;
    int64_t cell, other;  /* the current one, and the other of the pixel told last where that had two */
    int64_t run;          /* pixels in the current cell that are not told yet */
    size_t last;          /* where the word of that pixel is, or SIZE_MAX */
    int64_t wide;         /* cells of a row */
    int full;             /* whether memory has run out */
} Writer;

static void put(Writer *w, unsigned value)
{
    if (w->count == w->room) {
        const size_t room = w->room ? w->room * 2 : 1 << 16;
        word *more = w->full ? NULL : realloc(w->to, room * sizeof *more);
        if (!more) {
            w->full = 1, w->count = 0;
            return;
        }
        w->to = more, w->room = room;
    }
    w->to[w->count++] = (word)value;
}

static void put_cell(Writer *w, int64_t cell)
{
    put(w, (uint32_t)cell & 0xffff), put(w, (uint32_t)cell >> 16);
}

static void end_run(Writer *w)
{
    for (; w->run > 0; w->run -= w->run < LONGEST ? w->run : LONGEST)
        put(w, (unsigned)(w->run < LONGEST ? w->run : LONGEST));
    w->run = 0;
}

/* Make a cell the current one. */
static void go_to(Writer *w, int64_t cell)
{
    if (cell == w->cell) return;
    end_run(w);
    if (w->last != SIZE_MAX && w->last == w->count - 1 && w->other == cell) w->to[w->last] |= MOVES;
    else put(w, MANY), put_cell(w, cell);
    w->cell = cell, w->last = SIZE_MAX;
}

static void whole_pixels(Writer *w, int64_t cell, int64_t count)
{
    go_to(w, cell);
    w->run += count, w->last = SIZE_MAX;
}

/* A pixel of two parts, the second of which is at a side of the first: to the right, or below. */
static inline void two_parts(Writer *w, const int64_t *cell, int64_t weight, int side)
{
    int second = cell[0] != w->cell;
    if (second && cell[1] != w->cell) {
        second = w->last != SIZE_MAX && !w->run && w->other == cell[1];
        go_to(w, cell[second]);
    }
    end_run(w);
    w->last = w->count, w->other = cell[!second];
    put(w, TWO | (unsigned)(side + second) << 13 | (unsigned)(second ? UNIT - weight : weight));
}

/* A pixel of some parts, those of weight 0 or outside left out. */
static void shared_pixel(Writer *w, const int64_t *cell, const int64_t *weight, int parts)
{
    if (parts == 1 && weight[0] == UNIT) {
        whole_pixels(w, cell[0], 1);
        return;
    }
    if (!parts) {
        whole_pixels(w, OUTSIDE, 1);
        return;
    }
    if (parts == 2 && weight[0] + weight[1] == UNIT && (cell[1] - cell[0] == 1 || cell[1] - cell[0] == w->wide)) {
        two_parts(w, cell, weight[0], cell[1] - cell[0] == 1 ? 0 : 2);
        return;
    }
    end_run(w);
    w->last = SIZE_MAX;
    put(w, MANY | (unsigned)parts);
    for (int i = 0; i < parts; i++) put_cell(w, cell[i]), put(w, (unsigned)weight[i]);
}

/* What area_shares.py says of an edge; `a` or `b` below 0 stands for none. */
static inline double edge(double u0, double v0, double u1, double v1, double a, double b)
{
    if (a >= 0) {
        const int beyond0 = u0 >= a, beyond1 = u1 >= a;
        if (beyond0 && beyond1) u0 = u1 = a, v0 = v1 = 0;
        else if (beyond0 || beyond1) {
            const double there = v0 + (a - u0) / (u1 - u0) * (v1 - v0);
            if (beyond0) u0 = a, v0 = there;
            else u1 = a, v1 = there;
        }
    }
    if (b < 0 || (v0 < b && v1 < b)) return (v0 + v1) * 0.5 * (u1 - u0);
    if (v0 >= b && v1 >= b) return b * (u1 - u0);
    const double middle = u0 + (b - v0) / (v1 - v0) * (u1 - u0);
    if (v0 < b) return (v0 + b) * 0.5 * (middle - u0) + b * (u1 - middle);
    return b * (middle - u0) + (b + v1) * 0.5 * (u1 - middle);
}

static inline double area_up_to(const double *u, const double *v, double a, double b)
{
    double total = 0;
    for (int k = 0; k < 4; k++) total = total + edge(u[k], v[k], u[(k + 1) % 4], v[(k + 1) % 4], a, b);
    return total;
}

/* The strip at hand. */
typedef struct {
    const int64_t *down, *right; /* tie points */
    int64_t across;              /* tie points of a row */
    int64_t step;                /* pixels from one to the next, 2**shift */
    int shift;
    int bits;                    /* a cell is 2**bits units of outlines */
    double part;                 /* 2**-bits */
    int64_t top, bottom, left, after; /* cells that are counted */
} Strip;

static inline int64_t rounded(double x)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2**52: adding it rounds to whole numbers, half to even */
    return (int64_t)((x + magic) - magic);
}

/* Shares as weights that add up to UNIT: rounded, and the largest takes the rest. */
static void quantise(const double *share, int64_t n, int64_t *weight)
{
    int64_t rest = UNIT, most = 0;
    weight[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        weight[i] = rounded(share[i] * UNIT);
        rest -= weight[i];
        if (weight[i] > weight[most]) most = i;
    }
    weight[most] += rest;
}

static int64_t cell_of(const Writer *w, const Strip *s, int64_t row, int64_t column)
{
    if (row < s->top || row >= s->bottom || column < s->left || column >= s->after) return OUTSIDE;
    return (row - s->top) * w->wide + column - s->left;
}

/* Parts of a pixel in some rows and columns of cells; those without weight or outside are left out. */
static void tell_parts(Writer *w, const Strip *s, const int64_t *span, int64_t *weight)
{
    int64_t cell[MOST_SPAN * MOST_SPAN];
    int parts = 0;
    for (int64_t i = 0; i < span[2] * span[3]; i++) {
        cell[parts] = cell_of(w, s, span[0] + i / span[3], span[1] + i % span[3]);
        if (weight[i] > 0 && cell[parts] != OUTSIDE) weight[parts++] = weight[i];
    }
    shared_pixel(w, cell, weight, parts);
}

/* Share out a pixel among more than two cells. */
static void share_among_many(Writer *w, const Strip *s, const double *u, const double *v, const int64_t *span)
{
    const int64_t high = span[2], across = span[3];
    double table[2][MOST_SPAN + 1] = {{0}}, area[MOST_SPAN * MOST_SPAN];
    int64_t weight[MOST_SPAN * MOST_SPAN];
    for (int64_t j = 0; j < high; j++) {
        double *before = table[j & 1], *here = table[~j & 1];
        here[0] = 0;
        for (int64_t i = 0; i < across; i++) {
            here[i + 1] = area_up_to(u, v, i + 1 < across ? (double)(i + 1) : -1, j + 1 < high ? (double)(j + 1) : -1);
            area[j * across + i] = (here[i + 1] - before[i + 1]) - (here[i] - before[i]);
        }
    }
    double whole = area[0];
    for (int64_t i = 1; i < high * across; i++) whole = whole + area[i];
    for (int64_t i = 0; i < high * across; i++) area[i] = area[i] / whole;
    quantise(area, high * across, weight);
    tell_parts(w, s, span, weight);
}

/* The pixels between four tie points along an axis, as parallelograms: area_shares.py, share_before. */
typedef struct {
    int64_t column, row, half;      /* from the centre to the middles of the right and the lower side; their sizes' sum */
    int64_t first, step;            /* centre of a row's first pixel, and from one to the next */
    double by_column, by_row, reach, bend, slope, shorter, longer; /* the same in cells, and what follows */
} Axis;

static Axis axis_of(const Strip *s, const int64_t *ties, int64_t at)
{
    const int64_t a = ties[at], b = ties[at + 1], c = ties[at + s->across], d = ties[at + s->across + 1];
    Axis x = {.column = s->step * (b - a + d - c), .row = s->step * (c - a + d - b)};
    x.by_column = (double)x.column * s->part, x.by_row = (double)x.row * s->part;
    x.half = llabs(x.column) + llabs(x.row);
    const double one = 2 * fabs(x.by_column), other = 2 * fabs(x.by_row);
    x.shorter = one < other ? one : other, x.longer = one < other ? other : one;
    x.bend = 0.5 / (x.shorter * x.longer), x.slope = 1 / x.longer;
    return x;
}

static void begin_row(const Strip *s, Axis *x, const int64_t *ties, int64_t at, int64_t row)
{
    const int64_t below = 2 * (row & (s->step - 1)) + 1, above = 2 * s->step - below;
    const int64_t left = ties[at] * above + ties[at + s->across] * below;
    const int64_t right = ties[at + 1] * above + ties[at + s->across + 1] * below;
    x->first = left * (2 * s->step - 1) + right, x->step = 2 * (right - left);
}

static inline double share_before(const Axis *x, double centre)
{
    const double at = 1 - (centre - fabs(x->by_column) - fabs(x->by_row));
    const double rest = x->shorter + x->longer - at;
    if (at < x->shorter) return at * at * x->bend;
    if (at <= x->longer) return (at - x->shorter * 0.5) * x->slope;
    return 1 - rest * rest * x->bend;
}

static int share_pixel(Writer *w, const Strip *s, const Axis *v, const Axis *u, int64_t down, int64_t right)
{
    const int bits = s->bits;
    const int64_t row = (down - v->half) >> bits, column = (right - u->half) >> bits;
    const int64_t high = ((down + v->half) >> bits) - row + 1, across = ((right + u->half) >> bits) - column + 1;
    if (high > MOST_SPAN || across > MOST_SPAN) return 0;
    const int64_t span[4] = {row, column, high, across};
    const double y = (double)(down - (row << bits)) * s->part, x = (double)(right - (column << bits)) * s->part;
    if (high * across == 2) {
        const int64_t first = rounded((across == 2 ? share_before(u, x) : share_before(v, y)) * UNIT);
        const int64_t to[2] = {cell_of(w, s, row, column), cell_of(w, s, row + high - 1, column + across - 1)};
        if (first > 0 && first < UNIT && to[0] != OUTSIDE && to[1] != OUTSIDE) two_parts(w, to, first, across == 2 ? 0 : 2);
        else {
            int64_t weight[2] = {first, UNIT - first};
            tell_parts(w, s, span, weight);
        }
        return 1;
    }
    const double us[4] = {x - u->by_column - u->by_row, x + u->by_column - u->by_row, x + u->by_column + u->by_row,
                          x - u->by_column + u->by_row};
    const double vs[4] = {y - v->by_column - v->by_row, y + v->by_column - v->by_row, y + v->by_column + v->by_row,
                          y - v->by_column + v->by_row};
    if (high != 2 || across != 2) share_among_many(w, s, us, vs, span);
    else {
        const double left = share_before(u, x), above = share_before(v, y);
        const double whole = -4 * (u->by_column * v->by_row - u->by_row * v->by_column);
        const double both = area_up_to(us, vs, 1, 1) / whole;
        const double share[4] = {both, above - both, left - both, 1 - left - above + both};
        int64_t weight[4];
        quantise(share, 4, weight);
        tell_parts(w, s, span, weight);
    }
    return 1;
}

static inline int is_whole(const Axis *x, int64_t at, int bits) { return !(((at - x->half) ^ (at + x->half)) >> bits); }

/* Of some pixels in a row, the first of which a cell holds whole along an axis, those up to the first that it does not. */
static inline int64_t as_whole(const Axis *x, int64_t at, int64_t count, int bits)
{
    const int64_t last = at + (count - 1) * x->step, cell = (at - x->half) >> bits;
    const int64_t most = ((cell + 1) << bits) - 1 - x->half, least = (cell << bits) + x->half;
    if (last > most) return (most - at) / x->step + 1;
    if (last < least) return (at - least) / -x->step + 1;
    return count;
}

/* A row of the pixels between four tie points. */
static int share_block(Writer *w, const Strip *s, const Axis *v, const Axis *u, int64_t count)
{
    const int bits = s->bits;
    const int64_t down = v->first + (count - 1) * v->step, right = u->first + (count - 1) * u->step;
    const int64_t row = (v->first - v->half) >> bits, column = (u->first - u->half) >> bits;
    if (is_whole(v, v->first, bits) && is_whole(u, u->first, bits) && is_whole(v, down, bits) && is_whole(u, right, bits)
        && (down - v->half) >> bits == row && (right - u->half) >> bits == column) {
        whole_pixels(w, cell_of(w, s, row, column), count);
        return 1;
    }
    int64_t y = v->first, x = u->first;
    for (int64_t k = 0, n; k < count; k += n, y += n * v->step, x += n * u->step) {
        if (is_whole(v, y, bits) && is_whole(u, x, bits)) {
            n = as_whole(u, x, count - k, bits);
            n = as_whole(v, y, n, bits);
            whole_pixels(w, cell_of(w, s, (y - v->half) >> bits, (x - u->half) >> bits), n);
        } else if (n = 1, !share_pixel(w, s, v, u, y, x)) return 0;
    }
    return 1;
}

enum { SEVERAL = -2 };

/* The cell that holds all pixels between four tie points, OUTSIDE included; or SEVERAL. */
static int64_t cell_of_all(const Writer *w, const Strip *s, int64_t at)
{
    const int64_t ties[4] = {at, at + 1, at + s->across, at + s->across + 1};
    int64_t cells[2];
    for (int axis = 0; axis < 2; axis++) {
        const int64_t *t = axis ? s->right : s->down;
        int64_t low = t[ties[0]], high = low;
        for (int k = 1; k < 4; k++) low = t[ties[k]] < low ? t[ties[k]] : low, high = t[ties[k]] > high ? t[ties[k]] : high;
        /* Parallelograms may reach beyond the four points, by less than a pixel is from side to side. */
        const int64_t reach = ((high - low) >> s->shift) + 1, bits = s->bits - 2 * s->shift - 2;
        cells[axis] = (low - reach) >> bits;
        if (cells[axis] != (high + reach) >> bits) return SEVERAL;
    }
    return cell_of(w, s, cells[0], cells[1]);
}

/* The pixels of a tile. */
static int share_tile(Writer *w, const Strip *s, int64_t first, int64_t last, int64_t left, int64_t right)
{
    Axis axes[TILE][2];
    int64_t all[TILE];
    const int64_t step = s->step;
    w->cell = w->other = OUTSIDE, w->last = SIZE_MAX;
    for (int64_t row = first; row < last && !w->full; row++) {
        const int64_t ties = (row >> s->shift) * s->across;
        for (int64_t at = left, k = 0; at < right; at += step, k++) {
            const int64_t i = ties + (at >> s->shift), count = right - at < step ? right - at : step;
            Axis *v = axes[k], *u = v + 1;
            if (row == first || !(row & (step - 1)))
                all[k] = cell_of_all(w, s, i), *v = axis_of(s, s->down, i), *u = axis_of(s, s->right, i);
            if (all[k] != SEVERAL) {
                whole_pixels(w, all[k], count);
                continue;
            }
            begin_row(s, v, s->down, i, row), begin_row(s, u, s->right, i, row);
            if (!share_block(w, s, v, u, count)) return 0;
        }
        end_run(w);
    }
    return 1;
}

/* Bytes that hold some items of a size, to be filled. */
static PyObject *items(size_t count, size_t size, void *to)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * size));
    *(char **)to = made ? PyBytes_AsString(made) : NULL;
    return made;
}

/* (down, right, ties of a row, pixels from one to the next, bits of a cell there, (first row, last, first column, last),
 * (cell rows, columns)) -> words, and where those of each tile begin and the last ones end (int64). Columns begin at a tie
 * point. */
PyObject *share_areas(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer down = {0}, right = {0};
    long long across, step, bits, first, last, left, after, top, bottom, low, high;
    if (!PyArg_ParseTuple(args, "y*y*LLL(LLLL)(LLLL)", &down, &right, &across, &step, &bits, &first, &last, &left, &after, &top,
                          &bottom, &low, &high)) return NULL;
    const int64_t ties = down.len / 8;
    int shift = 0;
    while (1 << shift < step && 1 << shift < MOST_STEP) shift++;
    bits += 2 * shift + 2;
    const int fits = down.len == right.len && across > 1 && ties % across == 0 && ties / across > 1 && step == 1 << shift
        && bits > 2 * shift + 2 && bits < 62
        && first >= 0 && first < last && last <= (ties / across - 1) * step && left >= 0 && left % step == 0 && left < after
        && after <= (across - 1) * step && top <= bottom && low <= high && high - low <= INT32_MAX && bottom - top <= INT32_MAX
        && (bottom - top) * (high - low) <= INT32_MAX;
    const size_t tiles = fits ? (size_t)((after - left + TILE - 1) / TILE) : 0;
    int64_t *begin = NULL;
    PyObject *begins = fits ? items(tiles + 1, sizeof *begin, &begin) : NULL, *words = NULL, *all = NULL;
    Writer w = {.wide = high - low};
    int whole = 1;
    if (begins) {
        const Strip s = {down.buf, right.buf, across, step, shift, (int)bits, 1 / (double)(1LL << bits), top, bottom, low, high};
        begin[0] = 0;
        Py_BEGIN_ALLOW_THREADS
        for (size_t k = 0; whole && k < tiles; k++) {
            const int64_t from = left + (int64_t)k * TILE;
            whole = share_tile(&w, &s, first, last, from, from + TILE < after ? from + TILE : after);
            begin[k + 1] = (int64_t)w.count;
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&down), PyBuffer_Release(&right);
    if (w.full) PyErr_NoMemory();
    else if (!fits || !whole) PyErr_SetString(PyExc_BufferError, "array sizes do not agree");
    else if (begins) words = PyBytes_FromStringAndSize((char *)w.to, (Py_ssize_t)(w.count * sizeof(word)));
    if (words) all = Py_BuildValue("(OO)", words, begins);
    free(w.to);
    Py_XDECREF(words), Py_XDECREF(begins);
    return all;
}

/* ------------------------------------------------------------------ reading */

typedef struct {
    const word *at, *end;
    int64_t rows, columns, stride;    /* of the tile; pixels of a row of the array */
    int64_t cells, wide;              /* of the strip; those of a row */
    int64_t row, next, start;         /* the row and column to come; where the row begins in the array */
    int64_t cell;                     /* the current one */
    int left;                         /* parts of the pixel at hand that are to come */
    int64_t other, rest;              /* the second part of a pixel, and its weight; 0 without one */
    int moves;
    /* What was read: some pixels of a cell, and what each weighs there. */
    int64_t pixel, length, to, weight;
} Reader;

/* Go on by some pixels of the row, which has them. */
static inline void pass(Reader *r, int64_t count)
{
    r->next += count;
    if (r->next == r->columns) r->next = 0, r->start += r->stride, r->row++;
}

static int64_t take_cell(Reader *r)
{
    const int64_t cell = (int32_t)(r->at[0] | (uint32_t)r->at[1] << 16);
    r->at += 2;
    return cell;
}

/* The cell at the side of the current one that a word names. */
static inline int64_t beside(const Reader *r, word w)
{
    const int64_t by = w & (1 << 14) ? r->wide : 1;
    return w & (1 << 13) ? r->cell - by : r->cell + by;
}

/* The next pixels that have a cell; 0 at the end, and where words make no sense, the last row then not being reached. */
static inline int next_share(Reader *r)
{
    if (r->rest) {
        r->to = r->other, r->weight = r->rest, r->rest = 0;
        if (r->moves) r->cell = r->other;
        return 1;
    }
    while (r->left || r->at < r->end) {
        if (r->left) {
            if (r->end - r->at < 3) return 0;
            r->to = take_cell(r), r->weight = *r->at++;
            if (r->to < 0 || r->to >= r->cells || r->weight > UNIT) return 0;
            r->pixel = r->start + r->next, r->length = 1;
            if (!--r->left) pass(r, 1);
            return 1;
        }
        const word w = *r->at++;
        if (r->row >= r->rows && w != MANY) return 0;
        if (w & TWO) {
            r->other = beside(r, w), r->moves = w & MOVES;
            if (r->cell < 0 || r->other < 0 || r->other >= r->cells) return 0;
            r->to = r->cell, r->weight = w & (MOVES - 1), r->rest = UNIT - r->weight;
            r->pixel = r->start + r->next, r->length = 1;
            pass(r, 1);
            return 1;
        }
        if (w & MANY) {
            r->left = w & LONGEST;
            if (r->left) continue;
            if (r->end - r->at < 2) return 0;
            r->cell = take_cell(r);
            if (r->cell < OUTSIDE || r->cell >= r->cells) return 0;
            continue;
        }
        if (r->next + w > r->columns) return 0;
        r->pixel = r->start + r->next, r->length = w;
        pass(r, w);
        if (r->cell == OUTSIDE) continue;
        r->to = r->cell, r->weight = UNIT;
        return 1;
    }
    return 0;
}

static int read_all_shares(const Reader *r)
{
    return r->at == r->end && r->row == r->rows && !r->next && !r->left;
}

/* Packed shares, and the strip of pixels that they are of. */
typedef struct {
    const word *words;
    const int64_t *begin;
    int64_t tiles;
    long long rows, columns, cells, wide;
} Packed;

/* Of the arguments (words, begins, rows, columns, cells, cells of a row). */
#define PACKED "y*y*LLLL"
#define PACKED_TO(p, b) b, b + 1, &p.rows, &p.columns, &p.cells, &p.wide

static int packed_fits(Packed *p, const Py_buffer *b)
{
    p->words = b[0].buf, p->begin = b[1].buf, p->tiles = b[1].len / 8 - 1;
    if (p->rows < 1 || p->columns < 1 || p->rows > INT32_MAX || p->columns > INT32_MAX || p->cells < 0 || p->cells > INT32_MAX
        || p->wide < 1 || p->tiles != (p->columns + TILE - 1) / TILE || p->begin[0] || p->begin[p->tiles] != b[0].len / 2) return 0;
    for (int64_t k = 0; k < p->tiles; k++)
        if (p->begin[k] > p->begin[k + 1]) return 0;
    return 1;
}

/* Of a tile, whose first pixel is at some place of an array. */
static Reader read_tile(const Packed *p, int64_t tile, int64_t start, int64_t stride)
{
    const int64_t rest = p->columns - tile * TILE;
    return (Reader){.at = p->words + p->begin[tile], .end = p->words + p->begin[tile + 1], .rows = p->rows,
                    .columns = rest < TILE ? rest : TILE, .stride = stride, .cells = p->cells, .wide = p->wide,
                    .start = start, .cell = OUTSIDE};
}

#define BUFFERS 10
static PyObject *finished(Py_buffer *b, int good)
{
    for (int i = 0; i < BUFFERS; i++)
        if (b[i].obj) PyBuffer_Release(&b[i]);
    if (good) Py_RETURN_NONE;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_BufferError, "array sizes do not agree");
    return NULL;
}

/* (packed shares) -> (runs, parts) */
PyObject *count_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    Packed p = {0};
    long long runs = 0, parts = 0;
    int good = PyArg_ParseTuple(args, PACKED, PACKED_TO(p, b)) && packed_fits(&p, b);
    for (int64_t k = 0; good && k < p.tiles; k++) {
        Reader r = read_tile(&p, k, k * TILE, p.columns);
        while (next_share(&r)) *(r.weight == UNIT ? &runs : &parts) += 1;
        good = read_all_shares(&r);
    }
    PyObject *none = finished(b, good);
    return none ? Py_BuildValue("(LL)", runs, parts) : NULL;
}

/* (packed shares, run starts, lengths, cells, part pixels, cells, weights), all int64 */
PyObject *list_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    Packed p = {0};
    int good = PyArg_ParseTuple(args, PACKED "w*w*w*w*w*w*", PACKED_TO(p, b), b + 2, b + 3, b + 4, b + 5, b + 6, b + 7)
        && packed_fits(&p, b);
    const int64_t most_runs = b[2].len / 8, most_parts = b[5].len / 8;
    good = good && b[3].len == b[2].len && b[4].len == b[2].len && b[6].len == b[5].len && b[7].len == b[5].len;
    int64_t *to[6], runs = 0, parts = 0;
    for (int i = 0; i < 6; i++) to[i] = b[i + 2].buf;
    for (int64_t k = 0; good && k < p.tiles; k++) {
        Reader r = read_tile(&p, k, k * TILE, p.columns);
        while (good && next_share(&r))
            if (r.weight == UNIT) {
                if ((good = runs < most_runs)) to[0][runs] = r.pixel, to[1][runs] = r.length, to[2][runs] = r.to;
                runs++;
            } else {
                if ((good = parts < most_parts)) to[3][parts] = r.pixel, to[4][parts] = r.to, to[5][parts] = r.weight;
                parts++;
            }
        good = good && read_all_shares(&r);
    }
    return finished(b, good && runs == most_runs && parts == most_parts);
}

typedef struct {
    const pixel *v;
    const uint8_t *ok;
    pixel flip;
    int64_t nodata;
} Pixels;

static inline int counts(const Pixels *p, int64_t i)
{
    return p->v[i] != p->nodata && (!p->ok || p->ok[i]);
}

/* What is known of the pixels of a tile: nothing; that they are as they are, and 0 alone counts for nothing; or that they all
 * count besides. */
enum { ANY, PLAIN, FULL };

/* Add up until the words end. */
static inline __attribute__((always_inline)) void add_shares(Reader *r, const Pixels *p, int64_t *total, int64_t *weight, const int kind)
{
    int64_t sum = 0, count = 0; /* of the current cell, since it is that */
    for (;;) {
        /* The words of most pixels; `next_share` reads the others, and finds all errors. */
        while (!r->left && !r->rest && r->at < r->end && r->cell >= 0) {
            const word w = *r->at;
            if (w & TWO) {
                const int64_t other = beside(r, w), by = w & (MOVES - 1), i = r->start + r->next;
                if (r->row >= r->rows || other < 0 || other >= r->cells) break;
                const int64_t value = kind ? p->v[i] : (pixel)(p->v[i] ^ p->flip);
                const int64_t good = kind == FULL || (kind ? value != 0 : counts(p, i)), add = kind || good ? value : 0;
                sum += add * by, count += good * by;
                total[other] += add * (UNIT - by), weight[other] += good * (UNIT - by);
                if (w & MOVES) {
                    total[r->cell] += sum, weight[r->cell] += count;
                    sum = count = 0, r->cell = other;
                }
                pass(r, 1);
            } else if (!(w & MANY)) {
                const int64_t from = r->start + r->next, end = from + w;
                if (r->row >= r->rows || r->next + w > r->columns) break;
                uint32_t s = 0, k = 0; /* of LONGEST pixels at most */
                if (kind == FULL) {
                    for (int64_t i = from; i < end; i++) s += p->v[i];
                    k = w;
                } else if (kind)
                    for (int64_t i = from; i < end; i++) s += p->v[i], k += p->v[i] != 0;
                else
                    for (int64_t i = from; i < end; i++)
                        if (counts(p, i)) s += (pixel)(p->v[i] ^ p->flip), k++;
                sum += (int64_t)s * UNIT, count += (int64_t)k * UNIT;
                pass(r, w);
            } else break;
            r->at++;
        }
        if (r->cell >= 0) total[r->cell] += sum, weight[r->cell] += count;
        sum = count = 0;
        if (!next_share(r)) return;
        for (int64_t i = r->pixel; i < r->pixel + r->length; i++)
            if (counts(p, i)) total[r->to] += (pixel)(p->v[i] ^ p->flip) * r->weight, weight[r->to] += r->weight;
    }
}

/* As add_shares, with sums of squares, and the least and greatest numbers of each cell. */
static void add_moments(Reader *r, const Pixels *p, int64_t *total, int64_t *weight, int64_t *squares, pixel *least, pixel *most)
{
    while (next_share(r)) {
        uint64_t square = 0;
        uint32_t s = 0, k = 0, low = least[r->to], high = most[r->to]; /* of LONGEST pixels at most */
        for (int64_t i = r->pixel; i < r->pixel + r->length; i++) {
            if (!counts(p, i)) continue;
            const uint32_t u = (pixel)(p->v[i] ^ p->flip);
            low = u < low ? u : low, high = u > high ? u : high;
            s += u, square += u * u, k++;
        }
        total[r->to] += (int64_t)s * r->weight, weight[r->to] += (int64_t)k * r->weight;
        squares[r->to] += (int64_t)square * r->weight, least[r->to] = (pixel)low, most[r->to] = (pixel)high;
    }
}

/* Sums, and what else is asked for, of cells: as `sum_shares` gives them. */
typedef struct {
    int64_t *total, *weight, *squares;
    pixel *least, *most;
} Moments;

FAST static void add_any(Reader *r, const Pixels *p, int64_t *total, int64_t *weight)
{
    add_shares(r, p, total, weight, ANY);
}

FAST static void add_plain(Reader *r, const Pixels *p, int64_t *total, int64_t *weight)
{
    add_shares(r, p, total, weight, PLAIN);
}

FAST static void add_full(Reader *r, const Pixels *p, int64_t *total, int64_t *weight)
{
    add_shares(r, p, total, weight, FULL);
}

FAST static int kind_of(const Reader *r, const Pixels *p)
{
    if (p->nodata != 0 || p->ok || p->flip) return ANY;
    for (int64_t row = 0; row < r->rows; row++) {
        const pixel *v = p->v + r->start + row * r->stride;
        int some = 0;
        for (int64_t i = 0; i < r->columns; i++) some |= v[i] == 0;
        if (some) return PLAIN;
    }
    return FULL;
}

static void add_tile(Reader *r, const Pixels *p, const Moments *to)
{
    if (to->squares) add_moments(r, p, to->total, to->weight, to->squares, to->least, to->most);
    else {
        const int kind = kind_of(r, p);
        (kind == FULL ? add_full : kind == PLAIN ? add_plain : add_any)(r, p, to->total, to->weight);
    }
}

/* Whether arrays of cells are of one size, from buffers of totals, weights, and squares, least, most or nothing. */
static int moments_fit(Moments *to, const Py_buffer *b, int64_t cells)
{
    *to = (Moments){b[0].buf, b[1].buf, b[2].buf, b[3].buf, b[4].buf};
    return b[0].len / 8 == cells && b[1].len / 8 == cells
        && (!to->squares || (to->most && b[2].len / 8 == cells && b[3].len / 2 == cells && b[4].len / 2 == cells));
}

/* (packed shares, pixels, ok or None, flip, nodata, totals, weights[, squares, least, most]): adds to int64 sums of cells,
 * and compares with the least and greatest of each, uint16; all of pixels as ascending numbers. Pixels are 16 bits wide;
 * `flip` and `nodata` as in _native.c. */
PyObject *sum_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    Packed p = {0};
    Moments to = {0};
    long long flip, nodata;
    int good = PyArg_ParseTuple(args, PACKED "y*z*LLw*w*|w*w*w*", PACKED_TO(p, b), b + 2, b + 3, &flip, &nodata, b + 4,
                                b + 5, b + 6, b + 7, b + 8)
        && packed_fits(&p, b) && moments_fit(&to, b + 4, p.cells) && b[2].len / 2 / p.columns >= p.rows
        && (!b[3].buf || b[3].len / p.columns >= p.rows);
    if (!good) return finished(b, 0);
    const Pixels pixels = {b[2].buf, b[3].buf, (pixel)flip, nodata};
    Py_BEGIN_ALLOW_THREADS
    for (int64_t k = 0; good && k < p.tiles; k++) {
        Reader r = read_tile(&p, k, k * TILE, p.columns);
        add_tile(&r, &pixels, &to);
        good = read_all_shares(&r);
    }
    Py_END_ALLOW_THREADS
    return finished(b, good);
}

/* What a cell has of a code, and the place of what it has of the next greater one, 0 at the end. */
typedef struct {
    int64_t weight;
    uint32_t next;
    pixel code;
} Pair;

typedef struct {
    Pair *pair;           /* from place 1 on */
    uint32_t *first;      /* place of each cell's first, 0 without */
    size_t count, room;
} Pairs;

static int add_pair(Pairs *p, int64_t cell, pixel code, int64_t weight)
{
    if (p->count == p->room) {
        Pair *more = p->room < UINT32_MAX / 2 ? realloc(p->pair, 2 * p->room * sizeof *more) : NULL;
        if (!more) return 0;
        p->pair = more, p->room *= 2;
    }
    uint32_t *at = p->first + cell;
    while (*at && p->pair[*at].code < code) at = &p->pair[*at].next;
    if (*at && p->pair[*at].code == code) p->pair[*at].weight += weight;
    else p->pair[p->count] = (Pair){weight, *at, code}, *at = (uint32_t)p->count++;
    return 1;
}

/* Where pixels of a code end. */
static inline int64_t end_of_code(const pixel *v, int64_t i, int64_t end, pixel code)
{
    const uint64_t four = code * 0x0001000100010001ULL;
    for (uint64_t here; i + 4 <= end; i += 4) {
        memcpy(&here, v + i, sizeof here);
        if (here != four) break;
    }
    while (i < end && v[i] == code) i++;
    return i;
}

/* Pair up until the words end: 0 where memory has run out. */
static int pair_up(Pairs *p, Reader *r, const pixel *v)
{
    int good = 1;
    pixel code = 0, code_beside = 0;
    int64_t known = 0; /* what the current cell has of a code, since it is that and the code is */
    int64_t cell_beside = 0, known_beside = 0; /* the same of the other cell of pixels that have two */
    while (good) {
        /* The words of most pixels; `next_share` reads the others, and finds all errors. */
        while (good && !r->left && !r->rest && r->at < r->end && r->cell >= 0) {
            const word w = *r->at;
            int64_t length = 1, by = UNIT;
            if (w & TWO) {
                const int64_t other = beside(r, w);
                if (r->row >= r->rows || other < 0 || other >= r->cells) break;
                by = w & (MOVES - 1);
                const pixel here = v[r->start + r->next];
                if (other != cell_beside || here != code_beside) {
                    if (known_beside) good = add_pair(p, cell_beside, code_beside, known_beside);
                    cell_beside = other, code_beside = here, known_beside = 0;
                }
                known_beside += UNIT - by, r->other = other;
            } else if (w & MANY || r->row >= r->rows || r->next + w > r->columns) break;
            else length = w;
            const int64_t end = r->start + r->next + length;
            for (int64_t i = r->start + r->next, from; good && i < end; known += (i - from) * by) {
                if (v[i] != code) {
                    if (known) good = add_pair(p, r->cell, code, known);
                    code = v[i], known = 0;
                }
                from = i, i = end_of_code(v, i, end, code);
            }
            pass(r, length);
            if ((w & (TWO | MOVES)) == (TWO | MOVES)) {
                if (good && known) good = add_pair(p, r->cell, code, known);
                known = 0, r->cell = r->other;
            }
            r->at++;
        }
        if (good && known) good = add_pair(p, r->cell, code, known);
        if (good && known_beside) good = add_pair(p, cell_beside, code_beside, known_beside);
        known = known_beside = 0;
        if (!good || !next_share(r)) break;
        for (int64_t i = r->pixel; good && i < r->pixel + r->length; i++) good = add_pair(p, r->to, v[i], r->weight);
    }
    return good;
}

/* (packed shares, codes of 16 bits) -> cells (int64), codes (uint16) and weights (int64) of all that cells
 * have of codes, ascending. */
PyObject *pair_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    Packed s = {0};
    const int fits = PyArg_ParseTuple(args, PACKED "y*", PACKED_TO(s, b), b + 2) && packed_fits(&s, b)
        && b[2].len / 2 / s.columns >= s.rows;
    if (!fits) return finished(b, 0);
    Pairs p = {.count = 1, .room = 1 << 16};
    p.first = calloc((size_t)s.cells + 1, sizeof *p.first), p.pair = malloc(p.room * sizeof *p.pair);
    int room = p.first && p.pair, good = 1;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t k = 0; room && good && k < s.tiles; k++) {
        Reader r = read_tile(&s, k, k * TILE, s.columns);
        room = pair_up(&p, &r, b[2].buf);
        good = read_all_shares(&r);
    }
    Py_END_ALLOW_THREADS
    if (!room) PyErr_NoMemory();
    good = good && room;
    int64_t *cell, *weight;
    pixel *code;
    PyObject *made[3] = {0}, *all = NULL;
    if (good) {
        made[0] = items(p.count - 1, sizeof *cell, &cell), made[1] = items(p.count - 1, sizeof *code, &code);
        made[2] = items(p.count - 1, sizeof *weight, &weight);
        good = made[0] && made[1] && made[2];
    }
    for (int64_t i = 0, k = 0; good && i < s.cells; i++)
        for (uint32_t at = p.first[i]; at; at = p.pair[at].next, k++)
            cell[k] = i, code[k] = p.pair[at].code, weight[k] = p.pair[at].weight;
    free(p.first), free(p.pair);
    PyObject *none = finished(b, good);
    if (none) all = Py_BuildValue("(OOO)", made[0], made[1], made[2]);
    for (int i = 0; i < 3; i++) Py_XDECREF(made[i]);
    return all;
}

struct TileSums {
    Packed packed;
    Moments to;
    pixel flip;
    int64_t nodata;
};

TileSums *tile_sums_new(const Py_buffer *b, const long long *facts)
{
    TileSums *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->packed.rows = facts[0], t->packed.columns = facts[1], t->packed.cells = facts[2], t->packed.wide = facts[3];
    t->flip = (pixel)facts[4], t->nodata = facts[5];
    if (packed_fits(&t->packed, b) && moments_fit(&t->to, b + 2, t->packed.cells)) return t;
    free(t);
    return NULL;
}

int tile_sums_add(const TileSums *t, int64_t tile, const uint16_t *pixels, int64_t stride)
{
    if (tile < 0 || tile >= t->packed.tiles) return 0;
    Reader r = read_tile(&t->packed, tile, 0, stride);
    const Pixels p = {pixels, NULL, t->flip, t->nodata};
    add_tile(&r, &p, &t->to);
    return read_all_shares(&r);
}
