/* How pixels share their area among cells of another projection: the numbers of area_shares.py, in a tenth of the memory.
 *
 * Shares are kept as words of 16 bits, tile after tile of TILE columns and row after row, so that a tile can be added up as
 * soon as it is decoded. A row begins with how many words follow, and with the cell of its first pixels, the current one
 * (two words each; cells are numbered in the strip, -1 is outside). Each of what follows names a column (8 bits), up to
 * which pixels lie whole in the current cell:
 *
 *   00 n side column, n weights        from there on up to seven pixels (3 bits) have these weights in the current cell and
 *                                      the rest in the one at its side (2 bits): to the right, left, below or above. That
 *                                      becomes the current one.
 *   01 moves side column, n, n weights the same of any number of pixels; the cell becomes the current one, or not (1 bit)
 *   10 column, n, n parts              one pixel: of each part the cell (two words) and the weight
 *   11 column, cell                    that cell becomes the current one (two words)
 *
 * So nearly all words are of the first kind, which sums up to each pixel of the row let add up without a further branch.
 * As that reads eight weights in any case, so many words more follow at the end.
 * All arithmetic is in one order with that of area_shares.py, so that both give the same weights.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__) && defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "_areas.h"
#include "_fast.h"

enum { UNIT = 4096, MOST_STEP = 16, TILE = 256, MOST_SPAN = 64, OUTSIDE = -1 };
enum { FEW = 7, LANES = 8 }; /* pixels of EDGE at most, and how many are read */
enum { EDGE, MIXED, PARTS, CELL }; /* the upper two bits of what names a column */
enum { MOVES = 1 << 10 };

/* How many pixels EDGE has. */
static inline int64_t few_of(unsigned head) { return head >> 10 & FEW; }

typedef uint16_t word;
typedef uint16_t pixel;

/* ------------------------------------------------------------------ making */

typedef struct {
    word *to;
    size_t count, room;
    size_t row;           /* where the words of the row begin */
    int64_t at;           /* the column to come */
    int64_t cell, other;  /* the current one (NOWHERE before the first), and the other of the pixels at hand */
    int64_t pixels;       /* how many that have two cells are not told yet */
    int side;             /* at which side of the current cell the other one is */
    int full;             /* whether memory has run out */
    int64_t wide;         /* cells of a row */
    word weight[TILE];    /* of those pixels in the current cell */
} Writer;

enum { NOWHERE = -2 };

static void put(Writer *w, unsigned value)
{
    if (w->count == w->room) {
        const size_t room = w->room ? w->room * 2 : 1 << 16;
        word *more = w->full ? NULL : realloc(w->to, room * sizeof *more);
        if (!more) {
            w->full = 1, w->count = w->row = 0;
            return;
        }
        w->to = more, w->room = room;
    }
    w->to[w->count++] = (word)value;
}

static void put_two(Writer *w, int64_t number)
{
    put(w, (uint32_t)number & 0xffff), put(w, (uint32_t)number >> 16);
}

/* Tell the pixels at hand; the other cell becomes the current one, or not. */
static void tell_pixels(Writer *w, int moves)
{
    if (!w->pixels) return;
    const unsigned from = (unsigned)(w->side << 8) | (unsigned)(w->at - w->pixels);
    if (moves && w->pixels <= FEW) put(w, EDGE << 14 | (unsigned)(w->pixels << 10) | from);
    else put(w, MIXED << 14 | (moves ? MOVES : 0) | from), put(w, (unsigned)w->pixels);
    for (int64_t k = 0; k < w->pixels; k++) put(w, w->weight[k]);
    if (moves) w->cell = w->other;
    w->pixels = 0;
}

/* Make a cell the current one. */
static void go_to(Writer *w, int64_t cell)
{
    if (w->cell == NOWHERE) {
        if (!w->full) w->to[w->row + 2] = (word)cell, w->to[w->row + 3] = (word)((uint32_t)cell >> 16);
        w->cell = cell;
    }
    tell_pixels(w, cell == w->other || (cell != w->cell && w->pixels <= FEW));
    if (cell != w->cell) put(w, CELL << 14 | (unsigned)w->at), put_two(w, cell);
    w->cell = cell;
}

static inline void whole_pixels(Writer *w, int64_t cell, int64_t count)
{
    if (w->pixels || cell != w->cell) go_to(w, cell);
    w->at += count;
}

/* A pixel of two parts, the second of which is at a side of the first: to the right, or below. */
static inline void two_parts(Writer *w, const int64_t *cell, int64_t weight, int side)
{
    int second = cell[1] == w->cell;
    if (!w->pixels || cell[second] != w->cell || cell[!second] != w->other) {
        if (w->pixels && (cell[0] == w->other || cell[1] == w->other)) go_to(w, w->other);
        else if (second || cell[0] == w->cell) tell_pixels(w, 0);
        else go_to(w, cell[0]);
        second = cell[1] == w->cell, w->other = cell[!second], w->side = side + second;
    }
    w->weight[w->pixels++] = (word)(second ? UNIT - weight : weight), w->at++;
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
    if (w->cell == NOWHERE) go_to(w, cell[0]);
    tell_pixels(w, w->pixels <= FEW);
    put(w, PARTS << 14 | (unsigned)w->at), put(w, (unsigned)parts), w->at++;
    for (int i = 0; i < parts; i++) put_two(w, cell[i]), put(w, (unsigned)weight[i]);
}

static void begin_line(Writer *w)
{
    w->row = w->count, w->at = 0, w->cell = w->other = NOWHERE;
    put_two(w, 0), put_two(w, 0);
}

static void end_line(Writer *w)
{
    tell_pixels(w, w->pixels <= FEW);
    const size_t length = w->count - w->row - 4;
    if (!w->full) w->to[w->row] = (word)length, w->to[w->row + 1] = (word)(length >> 16);
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
    int64_t next_first, next_step;  /* what to add to these for the next row */
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
    const int64_t to_left = 2 * (ties[at + s->across] - ties[at]), to_right = 2 * (ties[at + s->across + 1] - ties[at + 1]);
    x->first = left * (2 * s->step - 1) + right, x->step = 2 * (right - left);
    x->next_first = to_left * (2 * s->step - 1) + to_right, x->next_step = 2 * (to_right - to_left);
}

static inline void next_row(Axis *x) { x->first += x->next_first, x->step += x->next_step; }

static inline double share_before(const Axis *x, double centre)
{
    const double at = 1 - (centre - fabs(x->by_column) - fabs(x->by_row));
    const double rest = x->shorter + x->longer - at;
    /* All three, as which one it is cannot be foreseen. */
    const double rising = at * at * x->bend, level = (at - x->shorter * 0.5) * x->slope, falling = 1 - rest * rest * x->bend;
    const double late = at <= x->longer ? level : falling;
    return at < x->shorter ? rising : late;
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

/* A row of the pixels between four tie points, that lie whole in one row of cells, all of which count; from left to right. */
static inline void share_across(Writer *w, const Strip *s, const Axis *u, int64_t count, int64_t cell, int64_t line)
{
    const int64_t one = 1LL << s->bits, half = u->half, step = u->step;
    int64_t x = u->first, k = 0;
    for (; k < count; cell++, line += one) { /* to the right end of a cell */
        if (x + half < line) {
            const int64_t rest = count - k, n = x + (rest - 1) * step + half < line ? rest : (line - 1 - half - x) / step + 1;
            whole_pixels(w, cell, n);
            k += n, x += n * step;
        }
        for (; k < count && x - half < line; k++, x += step) {
            const int64_t first = rounded(share_before(u, (double)(x - (line - one)) * s->part) * UNIT), to[2] = {cell, cell + 1};
            if (first > 0 && first < UNIT) two_parts(w, to, first, 0);
            else whole_pixels(w, to[first <= 0], 1);
        }
    }
}

/* Pixels in a row that lie in the same two cells, one above the other, both of which count: how many. */
static inline int64_t share_down(Writer *w, const Strip *s, const Axis *v, const Axis *u, int64_t count, int64_t y, int64_t x)
{
    const int bits = s->bits;
    const int64_t row = (y - v->half) >> bits, column = (x - u->half) >> bits, top = row << bits;
    if (row < s->top || row + 1 >= s->bottom || column < s->left || column >= s->after) return 0;
    const int64_t cell = (row - s->top) * w->wide + column - s->left, to[2] = {cell, cell + w->wide};
    int64_t n = 0;
    for (; n < count && (x - u->half) >> bits == column && (x + u->half) >> bits == column; n++, y += v->step, x += u->step) {
        if ((y - v->half) >> bits != row || (y + v->half) >> bits != row + 1) break;
        const int64_t first = rounded(share_before(v, (double)(y - top) * s->part) * UNIT);
        if (first > 0 && first < UNIT) two_parts(w, to, first, 2);
        else whole_pixels(w, to[first <= 0], 1);
    }
    return n;
}

/* A row of the pixels between four tie points. */
static int share_block(Writer *w, const Strip *s, const Axis *v, const Axis *u, int64_t count)
{
    const int bits = s->bits;
    const int64_t down = v->first + (count - 1) * v->step, right = u->first + (count - 1) * u->step;
    const int64_t row = (v->first - v->half) >> bits, column = (u->first - u->half) >> bits;
    if (is_whole(v, v->first, bits) && is_whole(v, down, bits) && (down - v->half) >> bits == row) {
        const int64_t last = (right + u->half) >> bits, cell = (row - s->top) * w->wide + column - s->left;
        if (row >= s->top && row < s->bottom && column >= s->left && last < s->after && u->step > 0 && u->half << 1 < 1LL << bits) {
            share_across(w, s, u, count, cell, (column + 1) << bits);
            return 1;
        }
    }
    int64_t y = v->first, x = u->first;
    for (int64_t k = 0, n; k < count; k += n, y += n * v->step, x += n * u->step) {
        if (is_whole(v, y, bits) && is_whole(u, x, bits)) {
            n = as_whole(u, x, count - k, bits);
            n = as_whole(v, y, n, bits);
            whole_pixels(w, cell_of(w, s, (y - v->half) >> bits, (x - u->half) >> bits), n);
        } else if (!(n = share_down(w, s, v, u, count - k, y, x))) {
            if (!share_pixel(w, s, v, u, y, x)) return 0;
            n = 1;
        }
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
    for (int64_t row = first; row < last && !w->full; row++) {
        begin_line(w);
        const int64_t ties = (row >> s->shift) * s->across;
        for (int64_t at = left, k = 0; at < right; at += step, k++) {
            const int64_t i = ties + (at >> s->shift), count = right - at < step ? right - at : step;
            Axis *v = axes[k], *u = v + 1;
            if (row == first || !(row & (step - 1))) {
                all[k] = cell_of_all(w, s, i), *v = axis_of(s, s->down, i), *u = axis_of(s, s->right, i);
                begin_row(s, v, s->down, i, row), begin_row(s, u, s->right, i, row);
            } else next_row(v), next_row(u);
            if (all[k] != SEVERAL) {
                whole_pixels(w, all[k], count);
                continue;
            }
            if (!share_block(w, s, v, u, count)) return 0;
        }
        end_line(w);
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
        for (int k = 0; k < LANES; k++) put(&w, 0);
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
    int64_t start;                    /* where the row to come begins in the array */
    int64_t cell;                     /* the current one */
    const word *stop;                 /* where the words of the row end */
    int64_t sides[4];                 /* from a cell to that at its right, left, lower and upper side */
} Reader;

static inline int64_t two_words(const word *at) { return (int32_t)(at[0] | (uint32_t)at[1] << 16); }

static inline int known_cell(const Reader *r, int64_t cell) { return (uint64_t)cell < (uint64_t)r->cells; }

/* Begin a row: 0 where its words make no sense. */
static inline int begin_row_of(Reader *r)
{
    if (r->end - r->at < 4) return 0;
    const int64_t length = two_words(r->at);
    r->cell = two_words(r->at + 2), r->at += 4;
    if (length < 0 || r->end - r->at < length || (r->cell != OUTSIDE && !known_cell(r, r->cell))) return 0;
    r->stop = r->at + length;
    return 1;
}

/* What stands at a column. */
typedef struct {
    int64_t column, count;            /* of the pixels, of which CELL has none */
    int64_t other;                    /* their other cell, or the one that becomes the current one */
    int kind, moves;
    const word *words;                /* weights, or parts */
} Step;

/* Read what stands at the next column, which is `place` or beyond: 0 where words make no sense. */
static inline __attribute__((always_inline)) int take_step(Reader *r, int64_t place, Step *s)
{
    const word head = *r->at++;
    int64_t words = few_of(head);
    s->kind = head >> 14, s->column = head & (TILE - 1), s->count = words, s->moves = 1;
    if (s->kind == MIXED || s->kind == PARTS) {
        if (r->at == r->stop) return 0;
        words = s->count = *r->at++;
        if (s->kind == PARTS) words *= 3;
    } else if (s->kind == CELL) words = 2, s->count = 0;
    if (r->stop - r->at < words) return 0;
    s->words = r->at, r->at += words;
    if (s->kind == CELL) s->other = two_words(s->words);
    else if (s->kind != PARTS) {
        s->other = r->cell + r->sides[head >> 8 & 3], s->moves = s->kind == EDGE || head & MOVES;
        if (r->cell == OUTSIDE || !known_cell(r, s->other)) return 0;
    } else s->other = OUTSIDE, s->moves = 0, s->count = 1;
    return s->column >= place && s->column + s->count <= r->columns && (s->other == OUTSIDE || known_cell(r, s->other));
}

/* Of PARTS, how many; and one of them: 0 where it makes no sense. */
static inline int64_t parts_of(const Step *s) { return s->words[-1]; }

static inline int take_part(const Reader *r, const Step *s, int64_t i, int64_t *cell, int64_t *weight)
{
    *cell = two_words(s->words + 3 * i), *weight = s->words[3 * i + 2];
    return known_cell(r, *cell) && *weight <= UNIT;
}

/* What is told of some pixels of a row, first and count: the cell, and what each weighs there. */
typedef int Tell(void *to, int64_t pixel, int64_t count, int64_t cell, int64_t weight);

static inline __attribute__((always_inline)) int tell_step(const Reader *r, const Step *s, Tell *tell, void *to)
{
    const int64_t pixel = r->start + s->column;
    int good = 1;
    if (s->kind == PARTS) {
        for (int64_t i = 0, cell, weight; good && i < parts_of(s); i++)
            good = take_part(r, s, i, &cell, &weight) && tell(to, pixel, 1, cell, weight);
        return good;
    }
    for (int64_t k = 0; good && k < s->count; k++) {
        const int64_t weight = s->words[k];
        if (weight) good = weight <= UNIT && tell(to, pixel + k, 1, r->cell, weight);
        if (good && weight < UNIT) good = tell(to, pixel + k, 1, s->other, UNIT - weight);
    }
    return good;
}

/* Tell the shares of a row: 0 where words make no sense, or `tell` says so. */
static inline __attribute__((always_inline)) int each_share(Reader *r, Tell *tell, void *to)
{
    int64_t place = 0;
    Step s;
    while (r->at < r->stop) {
        if (!take_step(r, place, &s)) return 0;
        if (r->cell != OUTSIDE && s.column > place && !tell(to, r->start + place, s.column - place, r->cell, UNIT)) return 0;
        if (!tell_step(r, &s, tell, to)) return 0;
        place = s.column + s.count;
        if (s.moves) r->cell = s.other;
    }
    if (r->cell == OUTSIDE || place == r->columns) return 1;
    return tell(to, r->start + place, r->columns - place, r->cell, UNIT);
}

/* Do something for each row of a tile, after which the words are at their end: 0 where they make no sense. */
#define EACH_ROW(r, good, ...)                                          \
    do {                                                                \
        int64_t rows_left = (r).rows;                                   \
        for (; (good) && rows_left; rows_left--) {                      \
            if (((good) = begin_row_of(&(r)))) (good) = (__VA_ARGS__);  \
            (r).start += (r).stride;                                    \
        }                                                               \
        (good) = (good) && (r).at == (r).end;                           \
    } while (0)

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
        || p->wide < 1 || p->tiles != (p->columns + TILE - 1) / TILE || p->begin[0] || p->begin[p->tiles] != b[0].len / 2 - LANES) return 0;
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
                    .start = start, .cell = OUTSIDE, .sides = {1, -1, p->wide, -p->wide}};
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

typedef struct {
    int64_t *to[6];                       /* of runs: start, length, cell; of parts: pixel, cell, weight; NULL: they are counted */
    int64_t runs, parts, most_runs, most_parts;
} Lists;

static inline int list_share(void *to, int64_t pixel, int64_t count, int64_t cell, int64_t weight)
{
    Lists *l = to;
    const int64_t i = weight == UNIT ? l->runs++ : l->parts++;
    if (!l->to[0]) return 1;
    if (i >= (weight == UNIT ? l->most_runs : l->most_parts)) return 0;
    if (weight == UNIT) l->to[0][i] = pixel, l->to[1][i] = count, l->to[2][i] = cell;
    else l->to[3][i] = pixel, l->to[4][i] = cell, l->to[5][i] = weight;
    return 1;
}

static int list_all(const Packed *p, Lists *l)
{
    int good = 1;
    for (int64_t k = 0; good && k < p->tiles; k++) {
        Reader r = read_tile(p, k, k * TILE, p->columns);
        EACH_ROW(r, good, each_share(&r, list_share, l));
    }
    return good;
}

/* (packed shares) -> (runs, parts) */
PyObject *count_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    Packed p = {0};
    Lists l = {{0}, 0, 0, 0, 0};
    const int good = PyArg_ParseTuple(args, PACKED, PACKED_TO(p, b)) && packed_fits(&p, b) && list_all(&p, &l);
    PyObject *none = finished(b, good);
    return none ? Py_BuildValue("(LL)", (long long)l.runs, (long long)l.parts) : NULL;
}

/* (packed shares, run starts, lengths, cells, part pixels, cells, weights), all int64 */
PyObject *list_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    Packed p = {0};
    int good = PyArg_ParseTuple(args, PACKED "w*w*w*w*w*w*", PACKED_TO(p, b), b + 2, b + 3, b + 4, b + 5, b + 6, b + 7)
        && packed_fits(&p, b);
    Lists l = {{0}, 0, 0, b[2].len / 8, b[5].len / 8};
    for (int i = 0; i < 6; i++) l.to[i] = b[i + 2].buf;
    good = good && b[3].len == b[2].len && b[4].len == b[2].len && b[6].len == b[5].len && b[7].len == b[5].len
        && list_all(&p, &l) && l.runs == l.most_runs && l.parts == l.most_parts;
    return finished(b, good);
}

typedef struct {
    const pixel *v;
    const uint8_t *ok;
    pixel flip;
    int64_t nodata, size;                 /* of what does not count, or -1; of the array */
} Pixels;

/* Sums, and what else is asked for, of cells: as `sum_shares` gives them. */
typedef struct {
    int64_t *total, *weight, *squares;
    pixel *least, *most;
} Moments;

/* A row of pixels: what counts of them. Some places more, as EDGE reads eight pixels. */
typedef struct {
    const pixel *v;                       /* numbers, 0 where they do not count */
    pixel value[TILE + LANES];              /* room for them */
    pixel low[TILE];                      /* the same, the greatest where they do not count */
    pixel good[TILE + LANES];               /* whether they count */
    uint32_t sum[TILE / 2 + 2], count[TILE / 2 + 2]; /* of all before each pair */
    int64_t square[TILE + 1];
} Line;

/* Sums of all pixels before each pair. */
static inline __attribute__((always_inline)) void sums_before(const pixel *v, int64_t n, uint32_t *sum)
{
    int64_t i = 0;
    uint32_t all = 0;
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) /* sums of 1, 2, then all 4 pairs, so that one addition waits for those before */
    typedef uint32_t four __attribute__((vector_size(16)));
    const four zero = {0};
    four before = zero, here;
    for (; i + 8 <= n; i += 8) {
        memcpy(&here, v + i, sizeof here);
        here = (here & UINT16_MAX) + (here >> 16);
        here += __builtin_shufflevector(zero, here, 0, 4, 5, 6);
        here += __builtin_shufflevector(zero, here, 0, 1, 4, 5);
        const four last = __builtin_shufflevector(here, here, 3, 3, 3, 3);
        here += before, before += last;
        memcpy(sum + i / 2 + 1, &here, sizeof here);
    }
    all = before[0];
#endif
#endif
    sum[0] = 0;
    for (; i + 2 <= n; i += 2) sum[i / 2 + 1] = all += (uint32_t)v[i] + v[i + 1];
}

/* How many pixels of a row count; which, and their numbers, unless they are all pixels as they are. */
static inline __attribute__((always_inline)) int64_t take_line(Line *l, const Pixels *p, int64_t start, int64_t n)
{
    const pixel *v = p->v + start, empty = (pixel)p->nodata, flip = p->flip, some = p->nodata >= 0;
    const uint8_t *ok = p->ok ? p->ok + start : NULL;
    pixel bad = 0; /* of TILE at most */
    if (!ok)
        for (int64_t i = 0; i < n; i++) bad += some & (v[i] == empty);
    if (bad == n) return 0;
    if (!ok && !flip && !bad) return n;
    bad = 0;
    for (int64_t i = 0; i < n; i++) {
        const pixel good = !(some & (v[i] == empty)) & (!ok || ok[i]);
        l->value[i] = (v[i] ^ flip) & (pixel)-good, l->low[i] = (v[i] ^ flip) | (pixel)(good - 1);
        l->good[i] = good, bad += !good;
    }
    return n - bad;
}

/* The sum of what stands before a column. */
static inline int64_t before(const pixel *v, const uint32_t *sum, int64_t column)
{
    return (int64_t)sum[column / 2] + (v[column & ~1] & -(column & 1));
}

/* What is asked of a row; and whether all of its pixels count. */
enum { FULL = 1, MOMENTS = 2 };

/* Of some pixels, or of all left of a place: sums, how many count, and sums of squares, times UNIT. */
typedef struct {
    int64_t sum, count, square;
} Sums;

static inline Sums upto(const Line *l, int64_t column, const int how)
{
    return (Sums){before(l->v, l->sum, column) * UNIT, (how & FULL ? column : before(l->good, l->count, column)) * UNIT,
                  how & MOMENTS ? l->square[column] * UNIT : 0};
}

static inline Sums minus(Sums a, Sums b) { return (Sums){a.sum - b.sum, a.count - b.count, a.square - b.square}; }

/* Which bits of the words after EDGE are weights of its own, by how many it has. */
#define OWN 2 * UNIT - 1
static const word keep[LANES][LANES] = {{0}, {OWN}, {OWN, OWN}, {OWN, OWN, OWN}, {OWN, OWN, OWN, OWN}, {OWN, OWN, OWN, OWN, OWN},
                                        {OWN, OWN, OWN, OWN, OWN, OWN}, {OWN, OWN, OWN, OWN, OWN, OWN, OWN}};

/* Of the weights of EDGE, of `n` pixels: their sum, those of their products with signed numbers, and with whether pixels count. */
typedef struct {
    int32_t all, products, count;
} Dots;

static inline __attribute__((always_inline)) Dots dots_of(const word *weight, int64_t n, const pixel *v, const pixel *good)
{
#if defined(__SSE2__) && defined(__x86_64__)
    const __m128i own = _mm_and_si128(_mm_loadu_si128((const __m128i *)weight), _mm_loadu_si128((const __m128i *)keep[n]));
    const __m128i sign = _mm_set1_epi16(INT16_MIN), here = v ? _mm_xor_si128(_mm_loadu_si128((const __m128i *)v), sign) : sign;
    const __m128i count = good ? _mm_loadu_si128((const __m128i *)good) : _mm_setzero_si128();
    const __m128i a = _mm_madd_epi16(own, _mm_set1_epi16(1)), b = _mm_madd_epi16(own, here), c = _mm_madd_epi16(own, count);
    const __m128i ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    const __m128i cc = _mm_add_epi32(c, _mm_unpackhi_epi64(c, c));
    const uint64_t both = (uint64_t)_mm_cvtsi128_si64(_mm_add_epi32(ab, _mm_unpackhi_epi64(ab, ab)));
    return (Dots){(int32_t)both, (int32_t)(both >> 32), _mm_cvtsi128_si32(_mm_add_epi32(cc, _mm_srli_epi64(cc, 32)))};
#else
    Dots of = {0, 0, 0};
    for (int k = 0; k < LANES; k++) {
        const int32_t own = weight[k] & keep[n][k];
        of.all += own, of.products += own * (v ? (int16_t)(v[k] ^ 0x8000) : 0), of.count += own * (good ? good[k] : 0);
    }
    return of;
#endif
}

/* The weighted sums of the pixels of EDGE. */
static inline __attribute__((always_inline)) void add_few(Sums *of, const Line *l, int64_t at, const word *weight, int64_t n,
                                                          const int how)
{
    const Dots dots = dots_of(weight, n, l->v + at, how & FULL ? NULL : l->good + at);
    of->sum += dots.products + 0x8000 * (int64_t)dots.all, of->count += how & FULL ? dots.all : dots.count;
    for (int64_t k = 0; how & MOMENTS && k < n; k++) of->square += weight[k] * (int64_t)((uint32_t)l->v[at + k] * l->v[at + k]);
}

static inline void add(const Moments *to, int64_t cell, Sums of, int64_t by, const int how)
{
    to->total[cell] += of.sum * by, to->weight[cell] += of.count * by;
    if (how & MOMENTS) to->squares[cell] += of.square * by;
}

/* Compare the pixels of some columns with the extremes of a cell. */
static inline void fold(const Line *l, const Moments *to, int64_t cell, int64_t from, int64_t stop, const int how)
{
    if (!(how & MOMENTS)) return;
    pixel least = to->least[cell], most = to->most[cell];
    for (int64_t i = from; i < stop; i++) {
        least = l->low[i] < least ? l->low[i] : least;
        most = l->value[i] > most ? l->value[i] : most;
    }
    to->least[cell] = least, to->most[cell] = most;
}

/* What was told of the row at hand: up to where, and from which pixel on the current cell has it. */
typedef struct {
    Sums sums;
    int64_t place, from;
} Told;

/* What stands at the next column, whatever it is: 0 where it makes no sense. */
static inline __attribute__((always_inline)) int add_step(Reader *r, const Line *l, Told *told, const Moments *to, const int how)
{
    Step s;
    if (!take_step(r, told->place, &s)) return 0;
    const int64_t after = s.column + s.count;
    const Sums here = upto(l, s.column, how), beyond = upto(l, after, how), all = minus(beyond, here);
    if (r->cell != OUTSIDE) {
        add(to, r->cell, minus(here, told->sums), 1, how);
        fold(l, to, r->cell, told->from, s.kind == PARTS ? s.column : after, how);
    }
    if (s.kind == PARTS) {
        const Sums one = {all.sum / UNIT, all.count / UNIT, all.square / UNIT};
        for (int64_t i = 0, cell, by; i < parts_of(&s); i++) {
            if (!take_part(r, &s, i, &cell, &by)) return 0;
            add(to, cell, one, by, how), fold(l, to, cell, s.column, after, how);
        }
    } else if (s.count) {
        Sums own = {0, 0, 0};
        for (int64_t k = 0; k < s.count; k += FEW)
            add_few(&own, l, s.column + k, s.words + k, s.count - k < FEW ? s.count - k : FEW, how);
        add(to, r->cell, own, 1, how), add(to, s.other, minus(all, own), 1, how);
        fold(l, to, s.other, s.column, after, how);
    }
    *told = (Told){beyond, after, after};
    if (s.moves) r->cell = s.other;
    return 1;
}

/* Add up a row: 0 where its words make no sense. */
static inline __attribute__((always_inline)) int add_row(Reader *r, const Line *l, const Moments *to, const int how)
{
    const int64_t sides[4] = {1, -1, r->wide, -r->wide}, cells = r->cells;
    const word *stop = r->stop;
    Told told = {{0, 0, 0}, 0, 0};
    while (r->at < stop) {
        const word *at = r->at;
        int64_t cell = r->cell;
        for (; at < stop && *at >> 14 == EDGE; at++) {
            const int64_t column = *at & (TILE - 1), n = few_of(*at), other = cell + sides[*at >> 8 & 3];
            if (column < told.place || (uint64_t)cell >= (uint64_t)cells || (uint64_t)other >= (uint64_t)cells) return 0;
            Sums here = upto(l, column, how);
            add_few(&here, l, column, at + 1, n, how);
            add(to, cell, minus(here, told.sums), 1, how);
            if (how & MOMENTS) {
                if (column + n > r->columns) return 0;
                fold(l, to, cell, told.from, column + n, how);
            }
            told = (Told){here, column, column}, cell = other, at += n;
        }
        if (at > stop) return 0;
        r->at = at, r->cell = cell;
        if (at < stop && !add_step(r, l, &told, to, how)) return 0;
    }
    if (r->cell == OUTSIDE) return 1;
    add(to, r->cell, minus(upto(l, r->columns, how), told.sums), 1, how);
    fold(l, to, r->cell, told.from, r->columns, how);
    return 1;
}

FAST static int add_line(Reader *r, const Pixels *p, Line *l, const Moments *to)
{
    const int64_t n = r->columns, good = take_line(l, p, r->start, n);
    if (!good) {
        r->at = r->stop;
        return 1;
    }
    const int as_it_is = good == n && !p->flip && !p->ok, spare = r->start + TILE + LANES <= p->size;
    if (as_it_is && (to->squares || !spare)) memcpy(l->value, p->v + r->start, 2 * n);
    l->v = as_it_is && spare ? p->v + r->start : l->value;
    sums_before(l->v, n, l->sum);
    if (good < n) sums_before(l->good, n, l->count);
    if (!to->squares) return good == n ? add_row(r, l, to, FULL) : add_row(r, l, to, 0);
    if (as_it_is) memcpy(l->low, l->value, 2 * n);
    for (int64_t i = 0; i < n; i++) l->square[i + 1] = l->square[i] + (int64_t)l->value[i] * l->value[i];
    return good == n ? add_row(r, l, to, MOMENTS | FULL) : add_row(r, l, to, MOMENTS);
}

static int add_tile(Reader *r, const Pixels *p, const Moments *to)
{
    Line l;
    int good = 1;
    memset(&l, 0, sizeof l);
    EACH_ROW(*r, good, add_line(r, p, &l, to));
    return good;
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
    const Pixels pixels = {b[2].buf, b[3].buf, (pixel)flip, nodata, b[2].len / 2};
    Py_BEGIN_ALLOW_THREADS
    for (int64_t k = 0; good && k < p.tiles; k++) {
        Reader r = read_tile(&p, k, k * TILE, p.columns);
        good = add_tile(&r, &pixels, &to);
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
    uint32_t *recent;     /* place of the one that was added to last */
    size_t count, room;
    int full;             /* whether memory has run out */
} Pairs;

/* What `add_pair` does of a code that the cell did not have last. */
static int add_other(Pairs *p, int64_t cell, pixel code, int64_t weight)
{
    if (p->count == p->room) {
        Pair *more = p->room < UINT32_MAX / 2 ? realloc(p->pair, 2 * p->room * sizeof *more) : NULL;
        if (!more) {
            p->full = 1;
            return 0;
        }
        p->pair = more, p->room *= 2;
    }
    uint32_t *at = p->first + cell;
    while (*at && p->pair[*at].code < code) at = &p->pair[*at].next;
    if (*at && p->pair[*at].code == code) p->pair[*at].weight += weight;
    else p->pair[p->count] = (Pair){weight, *at, code}, *at = (uint32_t)p->count++;
    p->recent[cell] = *at;
    return 1;
}

/* Add to what a cell has of a code: 0 where memory has run out. */
static inline int add_pair(Pairs *p, int64_t cell, pixel code, int64_t weight)
{
    const uint32_t at = p->recent[cell];
    if (!at || p->pair[at].code != code) return add_other(p, cell, code, weight);
    p->pair[at].weight += weight;
    return 1;
}

/* Where pixels of the code at `i` end. */
static inline int64_t end_of_code(const pixel *v, int64_t i, int64_t end)
{
    const pixel code = v[i];
    for (; i + 32 <= end; i += 32) {
        pixel differs = 0;
        for (int k = 0; k < 32; k++) differs |= v[i + k] ^ code;
        if (differs) break;
    }
    while (i < end && v[i] == code) i++;
    return i;
}

/* The codes of a row: which the pixel at hand has, up to where, and what of the row is paired up, times UNIT. */
typedef struct {
    const pixel *v;
    int64_t stop, told, columns;
    int64_t *pixels;      /* of each code, in the whole strip */
    pixel code;
} Codes;

static inline void next_code(Codes *c)
{
    const int64_t from = c->stop;
    if (from == c->columns) return;
    c->code = c->v[from], c->stop = end_of_code(c->v, from, c->columns);
    c->pixels[c->code] += c->stop - from;
}

/* Pair the pixels up to a place, or what lies there of one, with a cell; all but the last have their codes whole. */
static inline int pair_upto(Pairs *p, Codes *c, int64_t cell, int64_t place)
{
    int good = 1;
    while (good && c->stop * UNIT < place) {
        if (cell != OUTSIDE && c->stop * UNIT > c->told) good = add_pair(p, cell, c->code, c->stop * UNIT - c->told);
        c->told = c->stop * UNIT, next_code(c);
    }
    if (good && cell != OUTSIDE && place > c->told) good = add_pair(p, cell, c->code, place - c->told);
    c->told = place;
    if (c->stop * UNIT == place) next_code(c);
    return good;
}

/* Pair pixels that two cells share, code by code. */
static int pair_shared(Pairs *p, Codes *c, int64_t cell, const Step *s)
{
    int good = 1;
    for (int64_t from = s->column, after = from + s->count, stop; good && from < after; from = stop) {
        stop = c->stop < after ? c->stop : after;
        int64_t own = 0;
        for (int64_t i = from; i < stop; i++) own += s->words[i - s->column];
        good = (!own || add_pair(p, cell, c->code, own)) && add_pair(p, s->other, c->code, (stop - from) * UNIT - own);
        c->told = stop * UNIT;
        if (c->stop == stop) next_code(c);
    }
    return good;
}

static int pair_parts(Pairs *p, Codes *c, const Reader *r, const Step *s)
{
    int good = 1;
    for (int64_t i = 0, cell, weight; good && i < parts_of(s); i++)
        good = take_part(r, s, i, &cell, &weight) && add_pair(p, cell, c->code, weight);
    c->told = (s->column + 1) * UNIT;
    if (c->stop == s->column + 1) next_code(c);
    return good;
}

/* Pair up what stands at the next column, whatever it is. */
static int pair_step(Pairs *p, Codes *c, Reader *r, int64_t *place)
{
    Step s;
    if (!take_step(r, *place, &s)) return 0;
    *place = s.column + s.count;
    if (!pair_upto(p, c, r->cell, s.column * UNIT)) return 0;
    if (!(s.kind == PARTS ? pair_parts(p, c, r, &s) : pair_shared(p, c, r->cell, &s))) return 0;
    if (s.moves) r->cell = s.other;
    return 1;
}

/* Pair up a row: 0 where its words make no sense, or memory has run out. */
FAST static int pair_row(Pairs *p, Reader *r, const pixel *v, int64_t size, int64_t *pixels)
{
    const int64_t sides[4] = {1, -1, r->wide, -r->wide};
    Codes c = {.v = v, .columns = r->columns, .pixels = pixels};
    int64_t place = 0;
    for (int64_t i = 0; r->start + 2 * r->stride <= size && i < r->columns; i += 32)
        __builtin_prefetch(v + r->stride + i); /* the row below, far off in memory */
    next_code(&c);
    while (r->at < r->stop) {
        const word *at = r->at;
        for (; at < r->stop && *at >> 14 == EDGE; at++) { /* where pixels have one code */
            const int64_t column = *at & (TILE - 1), n = few_of(*at), other = r->cell + sides[*at >> 8 & 3];
            const int64_t upto = column * UNIT + dots_of(at + 1, n, NULL, NULL).all;
            if (column < place || column + n >= c.stop) break;
            if (!known_cell(r, r->cell) || !known_cell(r, other) || at + n >= r->stop) return 0;
            if (upto > c.told && !add_pair(p, r->cell, c.code, upto - c.told)) return 0;
            c.told = upto, r->cell = other, place = column, at += n;
        }
        r->at = at;
        if (at < r->stop && !pair_step(p, &c, r, &place)) return 0;
    }
    return pair_upto(p, &c, r->cell, r->columns * UNIT);
}

/* (packed shares, codes of 16 bits, counts) -> cells (int64), codes (uint16) and weights (int64) of all that cells have of
 * codes, ascending. Adds the pixels of each code to counts (int64, 65536). */
PyObject *pair_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    Packed s = {0};
    const int fits = PyArg_ParseTuple(args, PACKED "y*w*", PACKED_TO(s, b), b + 2, b + 3) && packed_fits(&s, b)
        && b[2].len / 2 / s.columns >= s.rows && b[3].len == 8 << 16;
    if (!fits) return finished(b, 0);
    Pairs p = {.count = 1, .room = 1 << 16};
    p.first = calloc(2 * (size_t)s.cells + 1, sizeof *p.first), p.recent = p.first + s.cells, p.pair = malloc(p.room * sizeof *p.pair);
    p.full = !p.first || !p.pair;
    int good = !p.full;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t k = 0; good && k < s.tiles; k++) {
        Reader r = read_tile(&s, k, k * TILE, s.columns);
        EACH_ROW(r, good, pair_row(&p, &r, (const pixel *)b[2].buf + r.start, b[2].len / 2, b[3].buf));
    }
    Py_END_ALLOW_THREADS
    if (p.full) PyErr_NoMemory();
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
    const Pixels p = {pixels, NULL, t->flip, t->nodata, t->packed.rows * stride};
    return add_tile(&r, &p, &t->to);
}
