/* How pixels share their area among cells of another projection: the numbers of area_shares.py, as the words of _shares.h.
 *
 * All arithmetic is in one order with that of area_shares.py, so that both give the same weights. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "_areas.h"
#include "_fast.h"
#include "_shares.h"

#define INLINE static inline __attribute__((always_inline))

enum { MOST_STEP = 16, MOST_SPAN = 64, NOWHERE = -2 };
enum { MOST_BITS = 52 }; /* of a cell's units, so that double holds all numbers of them */

/* What is done with four numbers at one time. */
enum { FOUR = 4 };
typedef double four __attribute__((vector_size(32)));
typedef int64_t four_whole __attribute__((vector_size(32)));
typedef int32_t four_narrow __attribute__((vector_size(16)));
typedef word four_words __attribute__((vector_size(8)));

/* ------------------------------------------------------------------ words */

typedef struct {
    word *to;
    size_t count, room;
    size_t row;           /* where the words of the row begin */
    int64_t at;           /* the column to come */
    int64_t cell, other;  /* the current one (NOWHERE before the first), and the other of the pixels at hand */
    int64_t pixels;       /* how many that have two cells are not told yet: their weights stand behind room for a head */
    int side;             /* at which side of the current cell the other one is */
    size_t corner;        /* where the head of the last pixels of four cells stands, */
    int64_t corner_end;   /* the column after them, unless a cell is named there, */
    int64_t square;       /* and the first of these cells */
    int64_t wide;         /* cells of a row */
    int full;             /* whether memory has run out */
} Writer;

/* Make room for the rest of a row and `more` words: a pixel takes eight at most, or is in parts. */
static int has_room(Writer *w, size_t more)
{
    const size_t need = w->count + TILE * 8 + 4 + 2 * LANES + more;
    if (need <= w->room) return 1;
    const size_t room = need > 2 * w->room ? need : 2 * w->room;
    word *to = realloc(w->to, room * sizeof *to);
    if (!to) {
        w->full = 1;
        return 0;
    }
    w->to = to, w->room = room;
    return 1;
}

INLINE void put(Writer *w, unsigned value) { w->to[w->count++] = (word)value; }

INLINE void put_two(Writer *w, int64_t number) { put(w, (uint32_t)number & 0xffff), put(w, (uint32_t)number >> 16); }

/* Tell the pixels at hand; the other cell becomes the current one, or not. */
INLINE void tell_pixels(Writer *w, int moves)
{
    const int64_t n = w->pixels;
    if (!n) return;
    const unsigned from = (unsigned)(w->side << 8) | (unsigned)(w->at - n);
    word *to = w->to + w->count;
    if (moves && n <= FEW) to[0] = (word)(EDGE << 14 | (unsigned)(n << 10) | from);
    else {
        memmove(to + 2, to + 1, (size_t)n * sizeof *to);
        to[0] = (word)(MIXED << 14 | (moves ? MOVES : 0) | from), to[1] = (word)n, w->count++;
    }
    w->count += 1 + (size_t)n, w->pixels = 0;
    if (moves) w->cell = w->other;
}

/* Which of the four cells from `square` on a cell is, or -1. */
static int place_of(const Writer *w, int64_t square, int64_t cell)
{
    for (int place = 0; place < 4; place++)
        if (cell == square + to_place(place, w->wide)) return place;
    return -1;
}

/* Make a cell the current one. */
static void go_to(Writer *w, int64_t cell)
{
    if (w->cell == NOWHERE) {
        w->to[w->row + 2] = (word)cell, w->to[w->row + 3] = (word)((uint32_t)cell >> 16);
        w->cell = cell;
        return;
    }
    tell_pixels(w, cell == w->other || (cell != w->cell && w->pixels <= FEW));
    if (cell == w->cell) return;
    const int place = w->at == w->corner_end ? place_of(w, w->square, cell) : -1;
    if (place >= 0) w->to[w->corner] = (word)((w->to[w->corner] & ~(3u << 12)) | (unsigned)place << 12);
    else put(w, CELL << 14 | (unsigned)w->at), put_two(w, cell), w->corner_end = -1;
    w->cell = cell;
}

INLINE void whole_pixels(Writer *w, int64_t cell, int64_t count)
{
    if (w->pixels && cell == w->other) tell_pixels(w, 1);
    else if (w->pixels || cell != w->cell) go_to(w, cell);
    w->at += count;
}

/* Pixels of two cells, with their weights in the first (four at a time are read); the second is at a side of it: to the right,
 * or below. */
INLINE void pixels_of_two(Writer *w, const int64_t *cell, const word *weight, int64_t n, int side)
{
    int second = cell[1] == w->cell;
    if (!w->pixels || cell[second] != w->cell || cell[!second] != w->other) {
        if (w->pixels && (cell[0] == w->other || cell[1] == w->other)) go_to(w, w->other);
        else if (second || cell[0] == w->cell) tell_pixels(w, 0);
        else go_to(w, cell[0]);
        second = cell[1] == w->cell, w->other = cell[!second], w->side = side + second;
    }
    word *to = w->to + w->count + 1 + w->pixels;
    const word turned = second ? UINT16_MAX : 0, from = second ? UNIT + 1 : 0; /* UNIT - weight, or weight */
    for (int64_t k = 0; k < n; k += FOUR) {
        four_words here;
        memcpy(&here, weight + k, sizeof here);
        here = (here ^ turned) + from;
        memcpy(to + k, &here, sizeof here);
    }
    w->pixels += n, w->at += n;
}

static inline int is_part(word weight) { return (word)(weight - 1) < UNIT - 1; }

/* The same where the first or last of them may lie whole in one cell. */
INLINE void pixels_on_line(Writer *w, const int64_t *cell, const word *weight, int64_t n, int side)
{
    if (is_part(weight[0]) && is_part(weight[n - 1])) {
        pixels_of_two(w, cell, weight, n, side);
        return;
    }
    for (int64_t k = 0, stop; k < n; k = stop) {
        for (stop = k; stop < n && is_part(weight[stop]);) stop++;
        if (stop > k) pixels_of_two(w, cell, weight + k, stop - k, side);
        for (; stop < n && !is_part(weight[stop]); stop++) whole_pixels(w, cell[!weight[stop]], 1);
    }
}

/* A pixel of four cells, from the first of them on. */
static void pixel_of_four(Writer *w, int64_t square, const int64_t *weight)
{
    if (w->corner_end == w->at && w->square == square && corners_of(w->to[w->corner]) < CORNERS) w->to[w->corner] += 1 << 10;
    else {
        if (w->cell == NOWHERE) go_to(w, square);
        tell_pixels(w, w->pixels <= FEW);
        if (place_of(w, square, w->cell) < 0) go_to(w, square);
        const int place = place_of(w, square, w->cell);
        w->square = square, w->corner = w->count;
        put(w, PARTS << 14 | (unsigned)place << 12 | 1 << 10 | (unsigned)place << 8 | (unsigned)w->at);
    }
    for (int k = 0; k < 4; k++) put(w, (unsigned)weight[k]);
    w->corner_end = ++w->at;
}

/* A pixel of some parts, those of weight 0 or outside left out: 0 where memory has run out. */
static int pixel_in_parts(Writer *w, const int64_t *cell, const int64_t *weight, int parts)
{
    if (!parts) whole_pixels(w, OUTSIDE, 1);
    else if (parts == 1 && weight[0] == UNIT) whole_pixels(w, cell[0], 1);
    else if (parts == 2 && weight[0] + weight[1] == UNIT && (cell[1] - cell[0] == 1 || cell[1] - cell[0] == w->wide)) {
        const word first[FOUR] = {(word)weight[0]};
        pixels_of_two(w, cell, first, 1, cell[1] - cell[0] == 1 ? 0 : 2);
    } else {
        if (!has_room(w, 3 * (size_t)parts)) return 0;
        if (w->cell == NOWHERE) go_to(w, cell[0]);
        tell_pixels(w, w->pixels <= FEW);
        put(w, PARTS << 14 | (unsigned)w->at), put(w, (unsigned)parts), w->at++;
        for (int i = 0; i < parts; i++) put_two(w, cell[i]), put(w, (unsigned)weight[i]);
    }
    return 1;
}

static void begin_line(Writer *w)
{
    w->row = w->count, w->at = 0, w->cell = w->other = NOWHERE, w->corner_end = -1;
    put_two(w, 0), put_two(w, 0);
}

static void end_line(Writer *w)
{
    tell_pixels(w, w->pixels <= FEW);
    const size_t length = w->count - w->row - 4;
    w->to[w->row] = (word)length, w->to[w->row + 1] = (word)(length >> 16);
}

/* ------------------------------------------------------------------ areas */

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

/* One number or the other, in all four places: what a function would do, if compilers passed such vectors alike. */
#define chosen(where, one, other) ((four)(((where) & (four_whole)(one)) | (~(where) & (four_whole)(other))))

/* `area_up_to` of 1 and 1: its four edges at one time, as which way each goes cannot be foreseen. */
INLINE double area_up_to_one(const double *u, const double *v)
{
    const four one = {1, 1, 1, 1}, none = {0, 0, 0, 0}, half = {0.5, 0.5, 0.5, 0.5};
    four u0 = {u[0], u[1], u[2], u[3]}, v0 = {v[0], v[1], v[2], v[3]};
    four u1 = {u[1], u[2], u[3], u[0]}, v1 = {v[1], v[2], v[3], v[0]};
    const four_whole beyond0 = u0 >= one, beyond1 = u1 >= one;
    const four there = v0 + (one - u0) / (u1 - u0) * (v1 - v0);
    u0 = chosen(beyond0, one, u0), v0 = chosen(beyond0, chosen(beyond1, none, there), v0);
    u1 = chosen(beyond1, one, u1), v1 = chosen(beyond1, chosen(beyond0, none, there), v1);
    const four middle = u0 + (one - v0) / (v1 - v0) * (u1 - u0);
    const four falls = (v0 + one) * half * (middle - u0) + one * (u1 - middle);
    const four rises = one * (middle - u0) + (one + v1) * half * (u1 - middle);
    const four_whole low0 = v0 < one, low1 = v1 < one;
    const four under = (v0 + v1) * half * (u1 - u0), above = one * (u1 - u0);
    const four made = chosen(low0, chosen(low1, under, falls), chosen(low1, rises, above));
    return 0 + made[0] + made[1] + made[2] + made[3];
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

#define MAGIC 6755399441055744.0 /* 1.5 * 2**52: adding it rounds to whole numbers, half to even, in the lower bits */

static inline int64_t rounded(double x) { return (int64_t)((x + MAGIC) - MAGIC); }

/* Shares as weights that add up to UNIT: rounded, and the largest takes the rest. */
static inline void quantise(const double *share, int64_t n, int64_t *weight)
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

static inline int64_t cell_of(const Writer *w, const Strip *s, int64_t row, int64_t column)
{
    if (row < s->top || row >= s->bottom || column < s->left || column >= s->after) return OUTSIDE;
    return (row - s->top) * w->wide + column - s->left;
}

/* What a pixel touches: the first row and column of cells, and how many of them. */
typedef struct {
    int64_t row, column, high, across;
} Span;

/* Parts of a pixel in some rows and columns of cells: 0 where memory has run out. */
static int tell_parts(Writer *w, const Strip *s, const Span *span, int64_t *weight)
{
    int64_t cell[MOST_SPAN * MOST_SPAN];
    int parts = 0;
    for (int64_t j = 0, i = 0; j < span->high; j++)
        for (int64_t k = 0; k < span->across; k++, i++) {
            cell[parts] = cell_of(w, s, span->row + j, span->column + k);
            if (weight[i] > 0 && cell[parts] != OUTSIDE) weight[parts++] = weight[i];
        }
    return pixel_in_parts(w, cell, weight, parts);
}

/* Share out a pixel among any number of cells: 0 where memory has run out. */
static int share_among_many(Writer *w, const Strip *s, const double *u, const double *v, const Span *span)
{
    const int64_t high = span->high, across = span->across;
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
    return tell_parts(w, s, span, weight);
}

/* The pixels between four tie points along an axis, as parallelograms: area_shares.py, share_before. */
typedef struct {
    int64_t column, row, half;      /* from the centre to the middles of the right and the lower side; their sizes' sum */
    int64_t first, step;            /* centre of a row's first pixel, and from one to the next */
    int64_t next_first, next_step;  /* what to add to these for the next row */
    double by_column, by_row, bend, slope, shorter, longer; /* the same in cells, and what follows */
    double per_step;                /* about 1 / step */
} Axis;

static inline Axis axis_of(const Strip *s, const int64_t *ties, int64_t at)
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

static inline void begin_row(const Strip *s, Axis *x, const int64_t *ties, int64_t at, int64_t row)
{
    const int64_t below = 2 * (row & (s->step - 1)) + 1, above = 2 * s->step - below;
    const int64_t left = ties[at] * above + ties[at + s->across] * below;
    const int64_t right = ties[at + 1] * above + ties[at + s->across + 1] * below;
    const int64_t to_left = 2 * (ties[at + s->across] - ties[at]), to_right = 2 * (ties[at + s->across + 1] - ties[at + 1]);
    x->first = left * (2 * s->step - 1) + right, x->step = 2 * (right - left);
    x->next_first = to_left * (2 * s->step - 1) + to_right, x->next_step = 2 * (to_right - to_left);
    x->per_step = x->step ? 1 / (double)x->step : 0;
}

static inline void next_row(Axis *x) { x->first += x->next_first, x->step += x->next_step; }

/* How many pixels of a row begin within a distance of the first centre, where they go up. */
INLINE int64_t pixels_in(const Axis *x, int64_t distance)
{
    if (distance <= 0) return 0;
    int64_t n = (int64_t)((double)distance * x->per_step);
    while (n * x->step >= distance) n--;
    while ((n + 1) * x->step < distance) n++;
    return n + 1;
}

INLINE double share_before(const Axis *x, double centre)
{
    const double at = 1 - (centre - fabs(x->by_column) - fabs(x->by_row));
    const double rest = x->shorter + x->longer - at;
    /* All three, as which one it is cannot be foreseen. */
    const double rising = at * at * x->bend, level = (at - x->shorter * 0.5) * x->slope, falling = 1 - rest * rest * x->bend;
    const double late = at <= x->longer ? level : falling;
    return at < x->shorter ? rising : late;
}

/* Weights before position 1 of some pixels in a row, one at least, the first of which has its centre so many units from 0:
 * `share_before` of four at one time. Up to three more are written. */
INLINE void weigh(const Strip *s, const Axis *x, int64_t centre, int64_t n, word *weight)
{
    const double column = fabs(x->by_column), row = fabs(x->by_row), sides = x->shorter + x->longer, middle = x->shorter * 0.5;
    const four from = {0, 1, 2, 3}, shorter = x->shorter - (four){0}, longer = x->longer - (four){0};
    int64_t k = 0;
    do {
        const four place = ((from + (double)k) * (double)x->step + (double)centre) * s->part;
        const four at = 1 - (place - column - row), rest = sides - at;
        const four rising = at * at * x->bend, level = (at - middle) * x->slope, falling = 1 - rest * rest * x->bend;
        const four share = chosen(at < shorter, rising, chosen(at <= longer, level, falling));
        const four_narrow whole = __builtin_convertvector(share * UNIT + MAGIC - MAGIC, four_narrow);
        const four_words made = __builtin_convertvector(whole, four_words);
        memcpy(weight + k, &made, sizeof made);
    } while ((k += FOUR) < n);
}

/* Where a cell begins, in units. */
static inline int64_t start_of(int64_t cell, int bits) { return cell * (INT64_C(1) << bits); }

FAST static int share_pixel(Writer *w, const Strip *s, const Axis *v, const Axis *u, int64_t down, int64_t right)
{
    const int bits = s->bits;
    const int64_t row = (down - v->half) >> bits, column = (right - u->half) >> bits;
    const Span span = {row, column, ((down + v->half) >> bits) - row + 1, ((right + u->half) >> bits) - column + 1};
    if (span.high > MOST_SPAN || span.across > MOST_SPAN) return 0;
    const double y = (double)(down - start_of(row, bits)) * s->part, x = (double)(right - start_of(column, bits)) * s->part;
    if (span.high * span.across == 2) {
        const int64_t first = rounded((span.across == 2 ? share_before(u, x) : share_before(v, y)) * UNIT);
        int64_t weight[2] = {first, UNIT - first};
        return tell_parts(w, s, &span, weight);
    }
    const double us[4] = {x - u->by_column - u->by_row, x + u->by_column - u->by_row, x + u->by_column + u->by_row,
                          x - u->by_column + u->by_row};
    const double vs[4] = {y - v->by_column - v->by_row, y + v->by_column - v->by_row, y + v->by_column + v->by_row,
                          y - v->by_column + v->by_row};
    if (span.high != 2 || span.across != 2) return share_among_many(w, s, us, vs, &span);
    const double left = share_before(u, x), above = share_before(v, y);
    const double whole = -4 * (u->by_column * v->by_row - u->by_row * v->by_column);
    const double both = area_up_to_one(us, vs) / whole;
    const double share[4] = {both, above - both, left - both, 1 - left - above + both};
    int64_t weight[4];
    quantise(share, 4, weight);
    const int parts = (weight[0] > 0) + (weight[1] > 0) + (weight[2] > 0) + (weight[3] > 0);
    const int counted = row >= s->top && row + 1 < s->bottom && column >= s->left && column + 1 < s->after;
    if (parts > 2 && counted && (weight[0] | weight[1] | weight[2] | weight[3]) >= 0) {
        pixel_of_four(w, cell_of(w, s, row, column), weight);
        return 1;
    }
    return tell_parts(w, s, &span, weight);
}

static inline int is_whole(const Axis *x, int64_t at, int bits) { return !(((at - x->half) ^ (at + x->half)) >> bits); }

/* Of some pixels in a row, the first of which a cell holds whole along an axis, those up to the first that it does not. */
static inline int64_t as_whole(const Axis *x, int64_t at, int64_t count, int bits)
{
    const int64_t last = at + (count - 1) * x->step, cell = (at - x->half) >> bits;
    const int64_t most = start_of(cell + 1, bits) - 1 - x->half, least = start_of(cell, bits) + x->half;
    if (last > most) return (most - at) / x->step + 1;
    if (last < least) return (at - least) / -x->step + 1;
    return count;
}

/* Pixels of a row that lie whole in one row of cells, all of which count; from left to right: the first one's centre, the cell
 * where it begins, and where that one ends. */
INLINE void share_across(Writer *w, const Strip *s, const Axis *u, int64_t count, int64_t x, int64_t cell, int64_t line)
{
    const int64_t one = 1LL << s->bits;
    for (int64_t k = 0, stop; k < count; cell++, line += one) {
        stop = pixels_in(u, line - u->half - x), stop = stop < count ? stop : count;
        if (stop > k) whole_pixels(w, cell, stop - k), k = stop;
        if (stop == count) break;
        stop = pixels_in(u, line + u->half - x), stop = stop < count ? stop : count;
        if (stop > k) {
            const int64_t two[2] = {cell, cell + 1};
            word weight[MOST_STEP + FOUR];
            weigh(s, u, x + k * u->step - (line - one), stop - k, weight);
            pixels_on_line(w, two, weight, stop - k, 0), k = stop;
        }
    }
}

/* Pixels in a row that lie in the same two cells, one above the other, both of which count: how many. */
INLINE int64_t share_down(Writer *w, const Strip *s, const Axis *v, const Axis *u, int64_t count, int64_t y, int64_t x)
{
    const int bits = s->bits;
    const int64_t row = (y - v->half) >> bits, column = (x - u->half) >> bits, half = v->half;
    if (row < s->top || row + 1 >= s->bottom || column < s->left || column >= s->after) return 0;
    if (!is_whole(u, x, bits) || (y + half) >> bits != row + 1) return 0;
    int64_t n = as_whole(u, x, count, bits), last = y + (n - 1) * v->step;
    for (; (last - half) >> bits != row || (last + half) >> bits != row + 1; last -= v->step) n--;
    const int64_t cell = (row - s->top) * w->wide + column - s->left, two[2] = {cell, cell + w->wide};
    word weight[MOST_STEP + FOUR];
    weigh(s, v, y - start_of(row, bits), n, weight);
    pixels_on_line(w, two, weight, n, 2);
    return n;
}

/* A row of the pixels between four tie points. */
INLINE int share_block(Writer *w, const Strip *s, const Axis *v, const Axis *u, int64_t count)
{
    const int bits = s->bits, rightwards = u->step > 0 && u->half << 1 < 1LL << bits;
    int64_t y = v->first, x = u->first;
    for (int64_t n; count; count -= n, y += n * v->step, x += n * u->step) {
        const int64_t row = (y - v->half) >> bits, column = (x - u->half) >> bits;
        if (!is_whole(v, y, bits)) {
            n = share_down(w, s, v, u, count, y, x);
            if (!n && !share_pixel(w, s, v, u, y, x)) return 0;
            n += !n;
            continue;
        }
        n = as_whole(v, y, count, bits);
        const int64_t last = (x + (n - 1) * u->step + u->half) >> bits;
        if (rightwards && row >= s->top && row < s->bottom && column >= s->left && last < s->after)
            share_across(w, s, u, n, x, (row - s->top) * w->wide + column - s->left,
                         start_of(column + 1, bits));
        else if (is_whole(u, x, bits)) n = as_whole(u, x, n, bits), whole_pixels(w, cell_of(w, s, row, column), n);
        else if (n = 1, !share_pixel(w, s, v, u, y, x)) return 0;
    }
    return 1;
}

enum { SEVERAL = -2 };

/* The cell that holds all pixels between four tie points, OUTSIDE included; or SEVERAL. */
static inline int64_t cell_of_all(const Writer *w, const Strip *s, int64_t at)
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
FAST static int share_tile(Writer *w, const Strip *s, int64_t first, int64_t last, int64_t left, int64_t right)
{
    Axis axes[TILE][2];
    int64_t all[TILE];
    const int64_t step = s->step;
    for (int64_t row = first; row < last; row++) {
        if (!has_room(w, 0)) return 0;
        begin_line(w);
        const int64_t ties = (row >> s->shift) * s->across;
        for (int64_t at = left, k = 0; at < right; at += step, k++) {
            const int64_t i = ties + (at >> s->shift), count = right - at < step ? right - at : step;
            Axis *v = axes[k], *u = v + 1;
            if (row == first || !(row & (step - 1))) {
                all[k] = cell_of_all(w, s, i), *v = axis_of(s, s->down, i), *u = axis_of(s, s->right, i);
                begin_row(s, v, s->down, i, row), begin_row(s, u, s->right, i, row);
            } else next_row(v), next_row(u);
            if (all[k] != SEVERAL) whole_pixels(w, all[k], count);
            else if (!share_block(w, s, v, u, count)) return 0;
        }
        end_line(w);
    }
    return 1;
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
    const int64_t ties = down.len / 8, far = INT64_C(1) << MOST_BITS;
    int shift = 0;
    while (1 << shift < step && 1 << shift < MOST_STEP) shift++;
    const int fits = down.len == right.len && across > 1 && ties % across == 0 && ties / across > 1 && step == 1 << shift
        && bits > 0 && bits <= MOST_BITS - 2 * shift - 2
        && first >= 0 && first < last && last <= (ties / across - 1) * step && left >= 0 && left % step == 0 && left < after
        && after <= (across - 1) * step && -far < top && top <= bottom && bottom < far && -far < low && low <= high && high < far
        && high - low <= INT32_MAX && bottom - top <= INT32_MAX && (bottom - top) * (high - low) <= INT32_MAX;
    if (fits) bits += 2 * shift + 2;
    const size_t tiles = fits ? (size_t)((after - left + TILE - 1) / TILE) : 0;
    PyObject *begins = fits ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((tiles + 1) * sizeof(int64_t))) : NULL;
    PyObject *words = NULL, *all = NULL;
    Writer w = {.wide = fits ? high - low : 0};
    int whole = 1;
    if (begins) {
        const Strip s = {down.buf, right.buf, across, step, shift, (int)bits, 1 / (double)(1LL << bits), top, bottom, low, high};
        int64_t *begin = (int64_t *)PyBytes_AsString(begins);
        begin[0] = 0;
        Py_BEGIN_ALLOW_THREADS
        for (size_t k = 0; whole && k < tiles; k++) {
            const int64_t from = left + (int64_t)k * TILE;
            whole = share_tile(&w, &s, first, last, from, from + TILE < after ? from + TILE : after);
            begin[k + 1] = (int64_t)w.count;
        }
        for (int k = 0; whole && k < LANES; k++) put(&w, 0); /* there is room: the row before took less */
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
