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
    int bits;                    /* a cell is 2**bits units of outlines */
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

/* The pixels between four tie points along an axis, as parallelograms: area_shares.py, share_before. */
typedef struct {
    int64_t column, row, half;      /* from the centre to the middles of the right and the lower side; their sizes' sum */
    int64_t first, step;            /* centre of a row's first pixel, and from one to the next */
    double by_column, by_row, reach, bend, slope, shorter, longer; /* the same in cells, and what follows */
} Axis;

static Axis axis_of(const Strip *s, const int64_t *ties, int64_t at)
{
    const int64_t a = ties[at], b = ties[at + 1], c = ties[at + s->across], d = ties[at + s->across + 1];
    Axis x = {.column = STEP * (b - a + d - c), .row = STEP * (c - a + d - b)};
    x.by_column = (double)x.column * s->part, x.by_row = (double)x.row * s->part;
    x.half = llabs(x.column) + llabs(x.row);
    const double one = 2 * fabs(x.by_column), other = 2 * fabs(x.by_row);
    x.shorter = one < other ? one : other, x.longer = one < other ? other : one;
    x.bend = 0.5 / (x.shorter * x.longer), x.slope = 1 / x.longer;
    return x;
}

static void begin_row(const Strip *s, Axis *x, const int64_t *ties, int64_t at, int64_t row)
{
    const int64_t below = 2 * (row % STEP) + 1, above = 2 * STEP - below;
    const int64_t left = ties[at] * above + ties[at + s->across] * below;
    const int64_t right = ties[at + 1] * above + ties[at + s->across + 1] * below;
    x->first = left * (2 * STEP - 1) + right, x->step = 2 * (right - left);
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
    share_among_many(w, s, us, vs, span);
    return 1;
}

static inline int is_whole(const Axis *x, int64_t at, int bits) { return !(((at - x->half) ^ (at + x->half)) >> bits); }

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
    for (int64_t k = 0; k < count; k++, y += v->step, x += u->step)
        if (is_whole(v, y, bits) && is_whole(u, x, bits))
            whole_pixels(w, cell_of(w, s, (y - v->half) >> bits, (x - u->half) >> bits), 1);
        else if (!share_pixel(w, s, v, u, y, x)) return 0;
    return 1;
}

/* `room` is for two axes of each column of tie points. */
static int share_rows(Writer *w, const Strip *s, int64_t first, int64_t last, int64_t left, int64_t right, Axis *room)
{
    for (int64_t row = first; row < last && !w->full; row++) {
        const int64_t ties = row / STEP * s->across;
        for (int64_t at = left; at < right; at += STEP) {
            const int64_t i = at / STEP, count = right - at < STEP ? right - at : STEP;
            Axis *v = room + 2 * i, *u = v + 1;
            if (row == first || row % STEP == 0) *v = axis_of(s, s->down, ties + i), *u = axis_of(s, s->right, ties + i);
            begin_row(s, v, s->down, ties + i, row), begin_row(s, u, s->right, ties + i, row);
            if (!share_block(w, s, v, u, count)) return 0;
        }
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
    const int fits = down.len == right.len && across > 1 && ties % across == 0 && ties / across > 1 && bits >= 10 && bits < 62
        && first >= 0 && first < last && last <= (ties / across - 1) * STEP && left >= 0 && left % STEP == 0 && left < after
        && after <= (across - 1) * STEP && top <= bottom && low <= high && high - low <= INT32_MAX && bottom - top <= INT32_MAX
        && (bottom - top) * (high - low) <= INT32_MAX;
    Writer w = {.cell = OUTSIDE, .other = OUTSIDE, .last = SIZE_MAX, .wide = high - low};
    Axis *room = fits ? malloc(2 * (size_t)across * sizeof *room) : NULL;
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

/* The cell at the side of the current one that a word names. */
static inline int64_t beside(const Reader *r, word w)
{
    const int64_t by = w & (1 << 14) ? r->wide : 1;
    return w & (1 << 13) ? r->cell - by : r->cell + by;
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
            r->other = beside(r, w), r->moves = w & MOVES;
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

#define BUFFERS 8
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

/* Add up until the words end. `plain`: pixels are as they are, and 0 alone counts for nothing. */
static inline void add_shares(Reader *r, const Pixels *p, int64_t *total, int64_t *weight, const int plain)
{
    int64_t sum = 0, count = 0; /* of the current cell, since it is that */
    for (;;) {
        /* The words of most pixels; `next_share` reads the others, and finds all errors. */
        while (!r->left && !r->rest && r->at < r->end && r->cell >= 0) {
            const word w = *r->at;
            if (w & TWO) {
                const int64_t other = beside(r, w), by = w & (MOVES - 1);
                if (r->next >= r->pixels || other < 0 || other >= r->cells) break;
                const int64_t value = plain ? p->v[r->next] : (pixel)(p->v[r->next] ^ p->flip);
                const int64_t good = plain ? value != 0 : counts(p, r->next), add = plain || good ? value : 0;
                sum += add * by, count += good * by;
                total[other] += add * (UNIT - by), weight[other] += good * (UNIT - by);
                if (w & MOVES) {
                    total[r->cell] += sum, weight[r->cell] += count;
                    sum = count = 0, r->cell = other;
                }
                r->next++;
            } else if (!(w & MANY)) {
                const int64_t end = r->next + w;
                if (end > r->pixels) break;
                uint32_t s = 0, k = 0; /* of LONGEST pixels at most */
                if (plain)
                    for (int64_t i = r->next; i < end; i++) s += p->v[i], k += p->v[i] != 0;
                else
                    for (int64_t i = r->next; i < end; i++)
                        if (counts(p, i)) s += (pixel)(p->v[i] ^ p->flip), k++;
                sum += (int64_t)s * UNIT, count += (int64_t)k * UNIT, r->next = end;
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

/* (words, pixels, ok or None, flip, nodata, cells of a row, totals, weights[, squares, least, most]): adds to int64 sums of
 * cells, and compares with the least and greatest of each, uint16; all of pixels as ascending numbers. Pixels are 16 bits
 * wide; `flip` and `nodata` as in _native.c. */
PyObject *sum_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    long long flip, nodata, wide;
    int good = PyArg_ParseTuple(args, "y*y*z*LLLw*w*|w*w*w*", b, b + 1, b + 2, &flip, &nodata, &wide, b + 3,
                                b + 4, b + 5, b + 6, b + 7);
    const int64_t pixels = b[1].len / 2, cells = b[3].len / 8;
    good = good && b[3].len == b[4].len && (!b[2].buf || b[2].len >= pixels) && cells <= INT32_MAX && wide > 0
        && (!b[5].buf || (b[7].buf && b[5].len == b[3].len && b[6].len / 2 >= cells && b[7].len / 2 >= cells));
    if (!good) return finished(b, 0);
    Reader r = read_shares(b, pixels, cells, wide);
    const Pixels p = {b[1].buf, b[2].buf, (pixel)flip, nodata};
    int64_t *total = b[3].buf, *weight = b[4].buf;
    Py_BEGIN_ALLOW_THREADS
    if (b[5].buf) add_moments(&r, &p, total, weight, b[5].buf, b[6].buf, b[7].buf);
    else if (nodata == 0 && !p.ok && !flip) add_shares(&r, &p, total, weight, 1);
    else add_shares(&r, &p, total, weight, 0);
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
                if (r->next >= r->pixels || other < 0 || other >= r->cells) break;
                by = w & (MOVES - 1);
                if (other != cell_beside || v[r->next] != code_beside) {
                    if (known_beside) good = add_pair(p, cell_beside, code_beside, known_beside);
                    cell_beside = other, code_beside = v[r->next], known_beside = 0;
                }
                known_beside += UNIT - by, r->other = other;
            } else if (w & MANY || r->next + w > r->pixels) break;
            else length = w;
            const int64_t end = r->next + length;
            for (int64_t i = r->next, from; good && i < end; known += (i - from) * by) {
                if (v[i] != code) {
                    if (known) good = add_pair(p, r->cell, code, known);
                    code = v[i], known = 0;
                }
                from = i, i = end_of_code(v, i, end, code);
            }
            r->next = end;
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
