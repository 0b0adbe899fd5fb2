/* How pixels share their area among cells of another projection: the numbers of area_shares.py, in a tenth of the memory.
 *
 * Shares are kept as words of 16 bits, pixel after pixel, row after row. They tell of a current cell, -1 at first:
 *
 *   00 length                      some pixels that lie whole in the current cell
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

enum { UNIT = 4096, STEP = 16, LONGEST = (1 << 14) - 1, MOST_SPAN = 64 };
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

static int side_of(const Writer *w, int64_t from, int64_t to)
{
    const int64_t by = to - from;
    return by == 1 ? 0 : by == -1 ? 1 : by == w->wide ? 2 : by == -w->wide ? 3 : -1;
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
    if (parts == 2 && weight[0] + weight[1] == UNIT && side_of(w, cell[0], cell[1]) >= 0) {
        int first = cell[0] == w->cell ? 0 : cell[1] == w->cell ? 1 : -1;
        if (first < 0) {
            first = w->last != SIZE_MAX && !w->run && w->other == cell[1] ? 1 : 0;
            go_to(w, cell[first]);
        }
        end_run(w);
        w->last = w->count, w->other = cell[1 - first];
        put(w, TWO | (unsigned)side_of(w, w->cell, w->other) << 13 | (unsigned)weight[first]);
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
    int bits;                    /* of a cell, between tie points */
    double part;                 /* 2**-bits */
    int64_t top, bottom, left, after; /* cells that are counted */
} Strip;

static inline int64_t rounded(double x)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2**52: adding it rounds to whole numbers, half to even */
    return (int64_t)((x + magic) - magic);
}

/* Areas as weights that add up to UNIT: rounded, and the largest takes the rest. */
static void quantise(const double *area, int64_t n, int64_t *weight)
{
    double whole = area[0];
    weight[0] = 0;
    for (int64_t i = 1; i < n; i++) whole = whole + area[i];
    int64_t rest = UNIT, most = 0;
    for (int64_t i = 0; i < n; i++) {
        weight[i] = rounded(area[i] / whole * UNIT);
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
    quantise(area, high * across, weight);
    tell_parts(w, s, span, weight);
}

/* Share out a pixel that no cell holds whole: corners clockwise from the upper left. */
static int share_pixel(Writer *w, const Strip *s, const int64_t *down, const int64_t *right)
{
    int64_t low_v = down[0], high_v = down[0], low_u = right[0], high_u = right[0];
    for (int k = 1; k < 4; k++) {
        low_v = down[k] < low_v ? down[k] : low_v, high_v = down[k] > high_v ? down[k] : high_v;
        low_u = right[k] < low_u ? right[k] : low_u, high_u = right[k] > high_u ? right[k] : high_u;
    }
    const int64_t row = low_v >> s->bits, column = low_u >> s->bits;
    const int64_t high = (high_v >> s->bits) - row + 1, across = (high_u >> s->bits) - column + 1;
    if (high > MOST_SPAN || across > MOST_SPAN) return 0;
    const int64_t span[4] = {row, column, high, across};
    double u[4], v[4];
    for (int k = 0; k < 4; k++) {
        v[k] = (double)(down[k] - (row << s->bits)) * s->part;
        u[k] = (double)(right[k] - (column << s->bits)) * s->part;
    }
    if (high * across > 2) share_among_many(w, s, u, v, span);
    else {
        const double one = area_up_to(u, v, across > 1 ? 1 : -1, high > 1 ? 1 : -1);
        const double area[2] = {one, area_up_to(u, v, -1, -1) - one};
        int64_t weight[2] = {0};
        quantise(area, 2, weight);
        tell_parts(w, s, span, weight);
    }
    return 1;
}

/* Where a row of pixel corners crosses the columns of tie points, 16 times as fine. */
static void cross(const int64_t *ties, int64_t across, int64_t row, int64_t *to)
{
    const int64_t *above = ties + row / STEP * across, below = row % STEP;
    if (!below)
        for (int64_t i = 0; i < across; i++) to[i] = above[i] * STEP;
    else
        for (int64_t i = 0; i < across; i++) to[i] = above[i] * (STEP - below) + above[across + i] * below;
}

/* The pixels of a row between two columns of tie points. `v`, `u`: the ends of the edges above and below them. */
static int share_block(Writer *w, const Strip *s, const int64_t v[2][2], const int64_t u[2][2], int64_t count)
{
    int64_t fv[2][STEP + 1], fu[2][STEP + 1];
    const int bits = s->bits;
    const int64_t row = v[0][0] * STEP >> bits, column = u[0][0] * STEP >> bits;
    int same = 1;
    for (int e = 0; e < 2; e++)
        for (int k = 0; k < 2; k++) same &= (v[e][k] * STEP >> bits == row) & (u[e][k] * STEP >> bits == column);
    if (same) { /* edges are straight */
        whole_pixels(w, cell_of(w, s, row, column), count);
        return 1;
    }
    for (int e = 0; e < 2; e++) {
        const int64_t v0 = v[e][0] * STEP, dv = v[e][1] - v[e][0], u0 = u[e][0] * STEP, du = u[e][1] - u[e][0];
        for (int k = 0; k <= STEP; k++) fv[e][k] = v0 + k * dv, fu[e][k] = u0 + k * du;
    }
    for (int64_t k = 0; k < count; k++) {
        const int64_t r = fv[0][k] >> bits, c = fu[0][k] >> bits;
        if (fv[0][k + 1] >> bits == r && fv[1][k] >> bits == r && fv[1][k + 1] >> bits == r && fu[0][k + 1] >> bits == c
            && fu[1][k] >> bits == c && fu[1][k + 1] >> bits == c)
            whole_pixels(w, cell_of(w, s, r, c), 1);
        else {
            const int64_t down[4] = {fv[0][k], fv[0][k + 1], fv[1][k + 1], fv[1][k]};
            const int64_t right[4] = {fu[0][k], fu[0][k + 1], fu[1][k + 1], fu[1][k]};
            if (!share_pixel(w, s, down, right)) return 0;
        }
    }
    return 1;
}

static int share_rows(Writer *w, const Strip *s, int64_t first, int64_t last, int64_t left, int64_t right, int64_t *room)
{
    int64_t *v[2] = {room, room + s->across}, *u[2] = {v[1] + s->across, v[1] + 2 * s->across};
    cross(s->down, s->across, first, v[0]), cross(s->right, s->across, first, u[0]);
    for (int64_t row = first; row < last && !w->full; row++) {
        cross(s->down, s->across, row + 1, v[1]), cross(s->right, s->across, row + 1, u[1]);
        for (int64_t at = left; at < right; at += STEP) {
            const int64_t i = at / STEP, count = right - at < STEP ? right - at : STEP;
            const int64_t vs[2][2] = {{v[0][i], v[0][i + 1]}, {v[1][i], v[1][i + 1]}};
            const int64_t us[2][2] = {{u[0][i], u[0][i + 1]}, {u[1][i], u[1][i + 1]}};
            if (!share_block(w, s, vs, us, count)) return 0;
        }
        int64_t *swap = v[0];
        v[0] = v[1], v[1] = swap, swap = u[0], u[0] = u[1], u[1] = swap;
    }
    end_run(w);
    return 1;
}

/* (down, right, ties of a row, bits, (first row, last, first column, last), (cell rows, columns)) -> words. Columns begin
 * at a tie point. */
PyObject *share_areas(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer down = {0}, right = {0};
    long long across, bits, first, last, left, after;
    Strip s = {0};
    long long top, bottom, low, high;
    if (!PyArg_ParseTuple(args, "y*y*LL(LLLL)(LLLL)", &down, &right, &across, &bits, &first, &last, &left, &after, &top,
                          &bottom, &low, &high)) return NULL;
    const int64_t ties = down.len / 8;
    const int fits = down.len == right.len && across > 1 && ties % across == 0 && ties / across > 1 && bits >= 8 && bits < 62
        && first >= 0 && first < last && last <= (ties / across - 1) * STEP && left >= 0 && left % STEP == 0 && left < after
        && after <= (across - 1) * STEP && top <= bottom && low <= high && high - low <= INT32_MAX && bottom - top <= INT32_MAX
        && (bottom - top) * (high - low) <= INT32_MAX;
    Writer w = {.cell = OUTSIDE, .other = OUTSIDE, .last = SIZE_MAX, .wide = high - low};
    int64_t *room = fits ? malloc(4 * 8 * (size_t)across) : NULL;
    int whole = 0;
    if (room) {
        s = (Strip){down.buf, right.buf, across, (int)bits, 1 / (double)(1LL << bits), top, bottom, low, high};
        Py_BEGIN_ALLOW_THREADS
        whole = share_rows(&w, &s, first, last, left, after, room);
        Py_END_ALLOW_THREADS
    }
    free(room);
    PyBuffer_Release(&down), PyBuffer_Release(&right);
    PyObject *made = NULL;
    if (fits && (!room || w.full)) PyErr_NoMemory();
    else if (!whole) PyErr_SetString(PyExc_BufferError, "array sizes do not agree");
    else made = PyBytes_FromStringAndSize((char *)w.to, (Py_ssize_t)(w.count * sizeof(word)));
    free(w.to);
    return made;
}

/* ------------------------------------------------------------------ reading */

typedef struct {
    const word *at, *end;
    int64_t pixels, cells, wide;      /* of the strip; those of a row */
    int64_t next, cell;               /* the pixel to come; the current cell */
    int left;                         /* parts of the pixel at hand that are to come */
    int64_t other, rest;              /* the second part of a pixel, and its weight; 0 without one */
    int moves;
    /* What was read: some pixels of a cell, and what each weighs there. */
    int64_t pixel, length, to, weight;
} Reader;

static int64_t take_cell(Reader *r)
{
    const int64_t cell = (int32_t)(r->at[0] | (uint32_t)r->at[1] << 16);
    r->at += 2;
    return cell;
}

/* The next pixels that have a cell; 0 at the end, and where words make no sense, `pixels` then not being reached. */
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
            r->pixel = r->next, r->length = 1;
            if (!--r->left) r->next++;
            return 1;
        }
        const word w = *r->at++;
        if (r->next >= r->pixels && w != MANY) return 0;
        if (w & TWO) {
            static const int sign[4] = {1, -1, 1, -1};
            const int side = w >> 13 & 3;
            r->other = r->cell + sign[side] * (side < 2 ? 1 : r->wide), r->moves = w & MOVES;
            if (r->cell < 0 || r->other < 0 || r->other >= r->cells) return 0;
            r->to = r->cell, r->weight = w & (MOVES - 1), r->rest = UNIT - r->weight;
            r->pixel = r->next++, r->length = 1;
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
        r->pixel = r->next, r->length = w, r->next += w;
        if (r->next > r->pixels) return 0;
        if (r->cell == OUTSIDE) continue;
        r->to = r->cell, r->weight = UNIT;
        return 1;
    }
    return 0;
}

static Reader read_shares(const Py_buffer *words, int64_t pixels, int64_t cells, int64_t wide)
{
    return (Reader){.at = words->buf, .end = (const word *)words->buf + words->len / 2, .pixels = pixels, .cells = cells,
                    .wide = wide, .cell = OUTSIDE};
}

static int read_all_shares(const Reader *r)
{
    return r->at == r->end && r->next == r->pixels && !r->left;
}

#define BUFFERS 7
static PyObject *finished(Py_buffer *b, int good)
{
    for (int i = 0; i < BUFFERS; i++)
        if (b[i].obj) PyBuffer_Release(&b[i]);
    if (good) Py_RETURN_NONE;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_BufferError, "array sizes do not agree");
    return NULL;
}

/* (words, pixels, cells, cells of a row) -> (runs, parts) */
PyObject *count_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    long long pixels, cells, wide, runs = 0, parts = 0;
    if (!PyArg_ParseTuple(args, "y*LLL", b, &pixels, &cells, &wide)) return NULL;
    Reader r = read_shares(b, pixels, cells, wide);
    while (next_share(&r)) *(r.weight == UNIT ? &runs : &parts) += 1;
    const int good = read_all_shares(&r);
    PyObject *none = finished(b, good);
    return none ? Py_BuildValue("(LL)", runs, parts) : NULL;
}

/* (words, pixels, cells, cells of a row, run starts, lengths, cells, part pixels, cells, weights), all int64 */
PyObject *list_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    long long pixels, cells, wide;
    int good = PyArg_ParseTuple(args, "y*LLLw*w*w*w*w*w*", b, &pixels, &cells, &wide, b + 1, b + 2, b + 3, b + 4, b + 5, b + 6);
    if (!good) return finished(b, 0);
    const int64_t most_runs = b[1].len / 8, most_parts = b[4].len / 8;
    good = b[2].len == b[1].len && b[3].len == b[1].len && b[5].len == b[4].len && b[6].len == b[4].len;
    int64_t *to[7], runs = 0, parts = 0;
    for (int i = 1; i < 7; i++) to[i] = b[i].buf;
    Reader r = read_shares(b, pixels, cells, wide);
    while (good && next_share(&r))
        if (r.weight == UNIT) {
            if ((good = runs < most_runs)) to[1][runs] = r.pixel, to[2][runs] = r.length, to[3][runs] = r.to;
            runs++;
        } else {
            if ((good = parts < most_parts)) to[4][parts] = r.pixel, to[5][parts] = r.to, to[6][parts] = r.weight;
            parts++;
        }
    return finished(b, good && read_all_shares(&r) && runs == most_runs && parts == most_parts);
}

/* Sums of the pixels that count, and how many these are. */
static inline void add_pixels(const pixel *v, const uint8_t *ok, pixel flip, int64_t nodata, int64_t n, int64_t *sum,
                              int64_t *count)
{
    uint64_t s = 0;
    int64_t k = 0;
    if (nodata < 0 && !ok) {
        for (int64_t i = 0; i < n; i++) s += (pixel)(v[i] ^ flip);
        k = n;
    } else if (!ok && !flip) {
        const pixel empty = (pixel)nodata;
        for (int64_t i = 0; i < n; i++) s += v[i] != empty ? v[i] : 0, k += v[i] != empty;
    } else
        for (int64_t i = 0; i < n; i++) {
            const int good = (!ok || ok[i]) && v[i] != nodata;
            s += good ? (pixel)(v[i] ^ flip) : 0, k += good;
        }
    *sum = (int64_t)s, *count = k;
}

/* (words, pixels, ok or None, flip, nodata, cells of a row, totals, weights): adds to int64 sums of cells. Pixels are 16 bits
 * wide; `flip` and `nodata` as in _native.c. */
PyObject *sum_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    long long flip, nodata, wide;
    int good = PyArg_ParseTuple(args, "y*y*z*LLLw*w*", b, b + 1, b + 2, &flip, &nodata, &wide, b + 3, b + 4);
    const int64_t pixels = b[1].len / 2, cells = b[3].len / 8;
    good = good && b[3].len == b[4].len && (!b[2].buf || b[2].len >= pixels) && cells <= INT32_MAX && wide > 0;
    if (!good) return finished(b, 0);
    Reader r = read_shares(b, pixels, cells, wide);
    const pixel *v = b[1].buf;
    const uint8_t *ok = b[2].buf;
    int64_t *total = b[3].buf, *weight = b[4].buf;
    Py_BEGIN_ALLOW_THREADS
    while (next_share(&r)) {
        int64_t sum, count;
        add_pixels(v + r.pixel, ok ? ok + r.pixel : NULL, (pixel)flip, nodata, r.length, &sum, &count);
        total[r.to] += sum * r.weight - flip * count * r.weight, weight[r.to] += count * r.weight;
    }
    Py_END_ALLOW_THREADS
    return finished(b, read_all_shares(&r));
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

static int pair_up(Pairs *p, Reader *r, const pixel *v)
{
    int good = 1;
    while (good && next_share(r)) {
        const pixel *code = v + r->pixel;
        for (int64_t i = 0, end; good && i < r->length; i = end) {
            for (end = i + 1; end < r->length && code[end] == code[i];) end++;
            good = add_pair(p, r->to, code[i], (end - i) * r->weight);
        }
    }
    return good;
}

/* Bytes that hold some items of a size, to be filled. */
static PyObject *items(size_t count, size_t size, void *to)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * size));
    *(char **)to = made ? PyBytes_AsString(made) : NULL;
    return made;
}

/* (words, codes of 16 bits, cells, cells of a row) -> cells (int64), codes (uint16) and weights (int64) of all that cells
 * have of codes, ascending. */
PyObject *pair_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    long long cells, wide;
    if (!PyArg_ParseTuple(args, "y*y*LL", b, b + 1, &cells, &wide)) return NULL;
    const int fits = cells >= 0 && cells <= INT32_MAX && wide > 0;
    Pairs p = {.count = 1, .room = 1 << 16};
    if (fits) p.first = calloc((size_t)cells + 1, sizeof *p.first), p.pair = malloc(p.room * sizeof *p.pair);
    int good = p.first && p.pair;
    Reader r = read_shares(b, b[1].len / 2, cells, wide);
    Py_BEGIN_ALLOW_THREADS
    good = good && pair_up(&p, &r, b[1].buf);
    Py_END_ALLOW_THREADS
    if (fits && !good) PyErr_NoMemory();
    good = good && read_all_shares(&r);
    int64_t *cell, *weight;
    pixel *code;
    PyObject *made[3] = {0}, *all = NULL;
    if (good) {
        made[0] = items(p.count - 1, sizeof *cell, &cell), made[1] = items(p.count - 1, sizeof *code, &code);
        made[2] = items(p.count - 1, sizeof *weight, &weight);
        good = made[0] && made[1] && made[2];
    }
    for (int64_t i = 0, k = 0; good && i < cells; i++)
        for (uint32_t at = p.first[i]; at; at = p.pair[at].next, k++)
            cell[k] = i, code[k] = p.pair[at].code, weight[k] = p.pair[at].weight;
    free(p.first), free(p.pair);
    PyObject *none = finished(b, good);
    if (none) all = Py_BuildValue("(OOO)", made[0], made[1], made[2]);
    for (int i = 0; i < 3; i++) Py_XDECREF(made[i]);
    return all;
}
