/* What is made of the shares of pixels among cells of another projection: lists, sums and extremes, and pairs of codes. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__) && defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "_areas.h"
#include "_fast.h"
#include "_shares.h"

typedef uint16_t pixel;

/* Bytes that hold some items of a size, to be filled. */
static PyObject *items(size_t count, size_t size, void *to)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * size));
    *(char **)to = made ? PyBytes_AsString(made) : NULL;
    return made;
}

/* ------------------------------------------------------------------ words */

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
    int64_t square;                   /* of CORNER: the first of four cells */
    int kind, moves;
    const word *words;                /* weights, or parts */
} Step;

enum { CORNER = CELL + 1 }; /* PARTS of four cells */

/* The first of four cells: 0 where not all of them are cells of the strip. */
static inline int take_square(const Reader *r, unsigned head, int64_t cell, int64_t *square)
{
    *square = cell - to_place(place_in(head), r->wide);
    return cell != OUTSIDE && *square >= 0 && *square + r->wide + 1 < r->cells;
}

/* Read what stands at the next column, which is `place` or beyond: 0 where words make no sense. */
static inline __attribute__((always_inline)) int take_step(Reader *r, int64_t place, Step *s)
{
    const word head = *r->at++;
    int64_t words = few_of(head);
    s->kind = head >> 14, s->column = head & (TILE - 1), s->count = words, s->moves = 1, s->square = 0;
    if (s->kind == PARTS && corners_of(head)) s->kind = CORNER, s->count = corners_of(head), words = 4 * s->count;
    else if (s->kind == MIXED || s->kind == PARTS) {
        if (r->at == r->stop) return 0;
        words = s->count = *r->at++;
        if (s->kind == PARTS) words *= 3;
    } else if (s->kind == CELL) words = 2, s->count = 0;
    if (r->stop - r->at < words) return 0;
    s->words = r->at, r->at += words;
    if (s->kind == CELL) s->other = two_words(s->words);
    else if (s->kind == CORNER) {
        if (!take_square(r, head, r->cell, &s->square)) return 0;
        s->other = s->square + to_place(next_place(head), r->wide);
    }
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
    return known_cell(r, *cell) && *weight > 0 && *weight <= UNIT;
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
        const word *weight = s->words + (s->kind == CORNER ? 4 * k : k);
        for (int i = 0; good && s->kind == CORNER && i < 4; i++)
            if (weight[i]) good = weight[i] <= UNIT && tell(to, pixel + k, 1, s->square + to_place(i, r->wide), weight[i]);
        if (s->kind != CORNER)
            good = *weight > 0 && *weight < UNIT && tell(to, pixel + k, 1, r->cell, *weight)
                && tell(to, pixel + k, 1, s->other, UNIT - *weight);
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
    pixel low[TILE + LANES];                /* the same, the greatest where they do not count */
    pixel good[TILE + LANES];               /* whether they count */
    uint32_t sum[TILE / 2 + 2], count[TILE / 2 + 2]; /* of all before each pair */
    int64_t square[TILE / 2 + 2];         /* of signed numbers, as sums */
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

/* A pixel as a signed number, whose square is half as long; 0 where it does not count. */
static inline int64_t signed_of(const Line *l, int64_t column, const int how)
{
    return (int16_t)(l->v[column] ^ 0x8000) & (how & FULL ? -1 : -(int64_t)l->good[column]);
}

/* Sums of squares before each pair. */
static inline __attribute__((always_inline)) void squares_before(Line *l, int64_t n, const int how)
{
    uint32_t pair[TILE / 2 + 1];
    for (int64_t i = 0; i < n / 2; i++) {
        const int32_t one = (int32_t)signed_of(l, 2 * i, how), other = (int32_t)signed_of(l, 2 * i + 1, how);
        pair[i] = (uint32_t)(one * one) + (uint32_t)(other * other);
    }
    l->square[0] = 0;
    for (int64_t i = 0; i < n / 2; i++) l->square[i + 1] = l->square[i] + pair[i];
}

/* Of some pixels, or of all left of a place: sums, how many count, and sums of squares, times UNIT. */
typedef struct {
    int64_t sum, count, square;
} Sums;

static inline Sums upto(const Line *l, int64_t column, const int how)
{
    const int64_t last = how & MOMENTS && column & 1 ? signed_of(l, column - 1, how) : 0;
    return (Sums){before(l->v, l->sum, column) * UNIT, (how & FULL ? column : before(l->good, l->count, column)) * UNIT,
                  how & MOMENTS ? (l->square[column / 2] + last * last) * UNIT : 0};
}

static inline Sums minus(Sums a, Sums b) { return (Sums){a.sum - b.sum, a.count - b.count, a.square - b.square}; }

/* Which bits of the words after EDGE are weights of its own, by how many it has. */
#define OWN 2 * UNIT - 1
#define ALL UINT16_MAX
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
    for (int64_t k = 0; how & MOMENTS && k < n; k++) {
        const int64_t value = signed_of(l, at + k, how);
        of->square += weight[k] * (value * value);
    }
}

static inline void add(const Moments *to, int64_t cell, Sums of, int64_t by, const int how)
{
    to->total[cell] += of.sum * by, to->weight[cell] += of.count * by;
    if (how & MOMENTS) to->squares[cell] += of.square * by;
}

#if defined(__SSE2__) && defined(__x86_64__)
static inline __m128i most_of(__m128i a, __m128i b) { return _mm_add_epi16(a, _mm_subs_epu16(b, a)); }
#endif

/* Compare the pixels of some columns with the extremes of a cell. */
static inline __attribute__((always_inline)) void fold(const Line *l, const Moments *to, int64_t cell, int64_t from, int64_t stop,
                                                       const int how)
{
    if (!(how & MOMENTS) || from == stop) return;
    const pixel *low = how & FULL ? l->v : l->low;
    pixel least = to->least[cell], most = to->most[cell];
#if defined(__SSE2__) && defined(__x86_64__)
    static const pixel some[LANES][LANES] = {{ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL}, {ALL}, {ALL, ALL}, {ALL, ALL, ALL},
                                             {ALL, ALL, ALL, ALL}, {ALL, ALL, ALL, ALL, ALL}, {ALL, ALL, ALL, ALL, ALL, ALL},
                                             {ALL, ALL, ALL, ALL, ALL, ALL, ALL}};
    const __m128i ones = _mm_set1_epi16(-1);
    __m128i below = _mm_setzero_si128(), above = below; /* how far numbers are from the greatest, and from 0, at most */
    for (int64_t i = from; i < stop; i += LANES) {
        const __m128i keep = _mm_loadu_si128((const __m128i *)some[stop - i < LANES ? stop - i : 0]);
        const __m128i here = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(low + i)), ones);
        below = most_of(below, _mm_and_si128(here, keep));
        above = most_of(above, _mm_and_si128(_mm_loadu_si128((const __m128i *)(l->v + i)), keep));
    }
    __m128i both = most_of(_mm_unpacklo_epi64(below, above), _mm_unpackhi_epi64(below, above));
    both = most_of(both, _mm_shuffle_epi32(both, 0xb1)), both = most_of(both, _mm_srli_epi32(both, 16));
    const pixel low_one = (pixel)~_mm_extract_epi16(both, 0), high_one = (pixel)_mm_extract_epi16(both, 4);
    least = low_one < least ? low_one : least, most = high_one > most ? high_one : most;
#else
    for (int64_t i = from; i < stop; i++) least = low[i] < least ? low[i] : least, most = l->v[i] > most ? l->v[i] : most;
#endif
    to->least[cell] = least, to->most[cell] = most;
}

/* What was told of the row at hand: up to where, and from which pixel on the current cell has it. */
typedef struct {
    Sums sums;
    int64_t place, from;
} Told;

/* What some pixels have in four cells, from the first of these on. */
static inline __attribute__((always_inline)) Sums add_corner(const Reader *r, const Line *l, const Moments *to, int64_t column,
                                                             int64_t n, int64_t square, const word *weight, const int how)
{
    const int64_t cells[4] = {square, square + 1, square + r->wide, square + r->wide + 1};
    Sums all = {0, 0, 0};
    for (int64_t k = column; k < column + n; k++, weight += 4) {
        const int64_t value = l->v[k];
        const int64_t number = how & MOMENTS ? signed_of(l, k, how) : 0;
        const Sums one = {value, how & FULL ? 1 : l->good[k], number * number};
        const pixel low = how & FULL ? l->v[k] : how & MOMENTS ? l->low[k] : 0, high = l->v[k];
        for (int i = 0; i < 4; i++) {
            add(to, cells[i], one, weight[i], how);
            if (!(how & MOMENTS) || !weight[i]) continue;
            to->least[cells[i]] = low < to->least[cells[i]] ? low : to->least[cells[i]];
            to->most[cells[i]] = high > to->most[cells[i]] ? high : to->most[cells[i]];
        }
        all.sum += one.sum * UNIT, all.count += one.count * UNIT, all.square += one.square * UNIT;
    }
    return all;
}

/* What stands at the next column, whatever it is, but for CORNER: 0 where it makes no sense. */
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

/* Add up pixels of four cells, with those before them: 0 where words make no sense. */
static inline __attribute__((always_inline)) int add_corners(Reader *r, const Line *l, Told *told, const Moments *to, const int how)
{
    const unsigned head = *r->at++;
    const int64_t column = head & (TILE - 1), n = corners_of(head), after = column + n;
    int64_t square;
    if (column < told->place || !known_cell(r, r->cell) || !take_square(r, head, r->cell, &square) || after > r->columns
        || r->stop - r->at < 4 * n) return 0;
    Sums here = upto(l, column, how);
    add(to, r->cell, minus(here, told->sums), 1, how), fold(l, to, r->cell, told->from, column, how);
    const Sums all = add_corner(r, l, to, column, n, square, r->at, how);
    here.sum += all.sum, here.count += all.count, here.square += all.square;
    *told = (Told){here, after, after}, r->cell = square + to_place(next_place(head), r->wide), r->at += 4 * n;
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
        for (unsigned head; at < stop && (head = *at) >> 14 == EDGE; at++) {
            const int64_t column = head & (TILE - 1), n = few_of(head), other = cell + sides[head >> 8 & 3];
            if (column < told.place || (uint64_t)cell >= (uint64_t)cells || (uint64_t)other >= (uint64_t)cells
                || (how & MOMENTS && column + n > r->columns)) return 0;
            Sums here = upto(l, column, how);
            add_few(&here, l, column, at + 1, n, how);
            add(to, cell, minus(here, told.sums), 1, how), fold(l, to, cell, told.from, column + n, how);
            told = (Told){here, column, column}, cell = other, at += n;
        }
        if (at > stop) return 0;
        r->at = at, r->cell = cell;
        if (at == stop) break;
        if (!(*at >> 14 == PARTS && corners_of(*at) ? add_corners(r, l, &told, to, how) : add_step(r, l, &told, to, how))) return 0;
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
    if (as_it_is && !spare) memcpy(l->value, p->v + r->start, 2 * n);
    l->v = as_it_is && spare ? p->v + r->start : l->value;
    sums_before(l->v, n, l->sum);
    if (good < n) sums_before(l->good, n, l->count);
    if (!to->squares) return good == n ? add_row(r, l, to, FULL) : add_row(r, l, to, 0);
    if (good == n) squares_before(l, n, FULL);
    else squares_before(l, n, 0);
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
 * and compares with the least and greatest of each, uint16; all of pixels as ascending numbers, but squares of these less
 * 0x8000. Pixels are 16 bits wide; `flip` and `nodata` as in _native.c. */
PyObject *sum_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    Packed p = {0};
    Moments to = {0};
    long long flip, nodata;
    int good = PyArg_ParseTuple(args, PACKED "y*z*LLw*w*|w*w*w*", PACKED_TO(p, b), b + 2, b + 3, &flip, &nodata, b + 4,
                                b + 5, b + 6, b + 7, b + 8)
        && packed_fits(&p, b) && b[2].len / 2 / p.columns >= p.rows && (!b[3].buf || b[3].len / p.columns >= p.rows)
        && moments_fit(&to, b + 4, p.cells);
    const Pixels pixels = {b[2].buf, b[3].buf, (pixel)flip, nodata, b[2].len / 2};
    Py_BEGIN_ALLOW_THREADS
    for (int64_t k = 0; good && k < p.tiles; k++) {
        Reader r = read_tile(&p, k, k * TILE, p.columns);
        good = add_tile(&r, &pixels, &to);
    }
    Py_END_ALLOW_THREADS
    return finished(b, good);
}

/* Whole numbers of 32 bits, and what is added up of them; the last four NULL where they are not asked for. */
typedef struct {
    const int32_t *v;
    const uint8_t *ok;
    int64_t none, size, cells;
    int64_t *total, *weight, *lower, *upper;
    int32_t *least, *most;
} Whole;

static inline int add_whole(void *to, int64_t pixel, int64_t count, int64_t cell, int64_t weight)
{
    const Whole *w = to;
    int64_t sum = 0, good = 0, lower = 0, upper = 0;
    if (pixel < 0 || pixel + count > w->size || cell < 0 || cell >= w->cells) return 0;
    for (int64_t i = pixel; i < pixel + count; i++) {
        const int32_t v = w->v[i];
        if (v == w->none || (w->ok && !w->ok[i])) continue;
        sum += v, good++;
        if (!w->lower) continue;
        const uint64_t square = (uint64_t)((int64_t)v * v);
        lower += (int64_t)(square & UINT32_MAX), upper += (int64_t)(square >> 32);
        if (v < w->least[cell]) w->least[cell] = v;
        if (v > w->most[cell]) w->most[cell] = v;
    }
    w->total[cell] += sum * weight, w->weight[cell] += good * weight;
    if (w->lower) w->lower[cell] += lower * weight, w->upper[cell] += upper * weight;
    return 1;
}

/* (packed shares, pixels, ok or None, none, totals, weights[, lower, upper, least, most]): as `sum_shares`, of int32, with
 * squares as sums of their lower and upper 32 bits; a pixel that is `none` does not count. Sums must fit int64. */
PyObject *sum_whole_shares(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer b[BUFFERS] = {{0}};
    Packed p = {0};
    long long none;
    int good = PyArg_ParseTuple(args, PACKED "y*z*Lw*w*|w*w*w*w*", PACKED_TO(p, b), b + 2, b + 3, &none, b + 4, b + 5, b + 6,
                                b + 7, b + 8, b + 9)
        && packed_fits(&p, b) && b[2].len / 4 / p.columns >= p.rows && (!b[3].buf || b[3].len / p.columns >= p.rows);
    Whole w = {b[2].buf, b[3].buf, none, b[2].len / 4, p.cells, b[4].buf, b[5].buf, b[6].buf, b[7].buf, b[8].buf, b[9].buf};
    for (int i = 4; good && i < (w.lower ? 10 : 6); i++) good = b[i].buf && b[i].len / (i < 8 ? 8 : 4) == p.cells;
    if (!good) return finished(b, 0);
    Py_BEGIN_ALLOW_THREADS
    for (int64_t k = 0; good && k < p.tiles; k++) {
        Reader r = read_tile(&p, k, k * TILE, p.columns);
        EACH_ROW(r, good, each_share(&r, add_whole, &w));
    }
    Py_END_ALLOW_THREADS
    return finished(b, good);
}

/* What a cell has of a code, and the place of what it has of another one, 0 without. */
typedef struct {
    int64_t weight;
    uint32_t next;
    pixel code;
} Pair;

typedef struct {
    Pair *recent;         /* of each cell, of the code that was added to last: weight 0 without any */
    Pair *pair;           /* others, from place 1 on */
    size_t count, room;
    int full;             /* whether memory has run out */
} Pairs;

/* What `add_pair` does of a code that the cell did not have last. */
static int add_other(Pairs *p, Pair *recent, pixel code, int64_t weight)
{
    const Pair last = *recent;
    if (last.weight) {
        uint32_t at = last.next;
        while (at && p->pair[at].code != code) at = p->pair[at].next;
        if (at) {
            weight += p->pair[at].weight;
            p->pair[at].weight = last.weight, p->pair[at].code = last.code;
        } else {
            if (p->count == p->room) {
                Pair *more = p->room < UINT32_MAX / 2 ? realloc(p->pair, 2 * p->room * sizeof *more) : NULL;
                if (!more) {
                    p->full = 1;
                    return 0;
                }
                p->pair = more, p->room *= 2;
            }
            p->pair[p->count] = last, recent->next = (uint32_t)p->count++;
        }
    }
    recent->code = code, recent->weight = weight;
    return 1;
}

/* Add to what a cell has of a code: 0 where memory has run out. */
static inline int add_pair(Pairs *p, int64_t cell, pixel code, int64_t weight)
{
    Pair *recent = p->recent + cell;
    if (recent->code != code) return add_other(p, recent, code, weight);
    recent->weight += weight;
    return 1;
}

/* List what a cell has, ascending by code; returns how many. */
static int64_t list_pairs(const Pairs *p, int64_t cell, pixel *code, int64_t *weight)
{
    int64_t n = 0;
    for (const Pair *at = p->recent + cell; at->weight; at = p->pair + at->next) {
        int64_t i = n++;
        for (; i && code[i - 1] > at->code; i--) code[i] = code[i - 1], weight[i] = weight[i - 1];
        code[i] = at->code, weight[i] = at->weight;
    }
    return n;
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

/* Pair pixels with four cells, code by code. */
static int pair_corner(Pairs *p, Codes *c, const Reader *r, const Step *s)
{
    int good = 1;
    for (int64_t k = 0; good && k < s->count; k++) {
        for (int i = 0; good && i < 4; i++)
            if (s->words[4 * k + i])
                good = add_pair(p, s->square + to_place(i, r->wide), c->code, s->words[4 * k + i]);
        c->told = (s->column + k + 1) * UNIT;
        if (c->stop == s->column + k + 1) next_code(c);
    }
    return good;
}

/* Pair up what stands at the next column, whatever it is. */
static int pair_step(Pairs *p, Codes *c, Reader *r, int64_t *place)
{
    Step s;
    if (!take_step(r, *place, &s)) return 0;
    *place = s.column + s.count;
    if (!pair_upto(p, c, r->cell, s.column * UNIT)) return 0;
    const int good = s.kind == PARTS ? pair_parts(p, c, r, &s) : s.kind == CORNER ? pair_corner(p, c, r, &s)
                                                                                : pair_shared(p, c, r->cell, &s);
    if (!good) return 0;
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
        while (at < r->stop) { /* where pixels have one code */
            const unsigned head = *at;
            const int64_t column = head & (TILE - 1);
            if (column < place) return 0;
            if (head >> 14 == EDGE) {
                const int64_t n = few_of(head), other = r->cell + sides[head >> 8 & 3];
                const int64_t upto = column * UNIT + dots_of(at + 1, n, NULL, NULL).all;
                if (column + n >= c.stop) break;
                if (!known_cell(r, r->cell) || !known_cell(r, other) || at + n >= r->stop) return 0;
                if (upto > c.told && !add_pair(p, r->cell, c.code, upto - c.told)) return 0;
                c.told = upto, r->cell = other, place = column, at += 1 + n;
            } else if (head >> 14 == PARTS && corners_of(head)) {
                const int64_t n = corners_of(head);
                int64_t square, weight[4] = {0};
                if (column + n >= c.stop) break;
                if (!take_square(r, head, r->cell, &square) || at + 4 * n >= r->stop) return 0;
                if (column * UNIT > c.told && !add_pair(p, r->cell, c.code, column * UNIT - c.told)) return 0;
                at++;
                for (int64_t k = 0; k < n; k++, at += 4)
                    for (int i = 0; i < 4; i++) weight[i] += at[i];
                for (int i = 0; i < 4; i++)
                    if (weight[i] && !add_pair(p, square + to_place(i, r->wide), c.code, weight[i])) return 0;
                place = column + n, c.told = place * UNIT, r->cell = square + to_place(next_place(head), r->wide);
            } else break;
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
    Pairs p = {.count = 1, .room = 1 << 12};
    p.recent = calloc((size_t)s.cells + 1, sizeof *p.recent), p.pair = calloc(p.room, sizeof *p.pair);
    p.full = !p.recent || !p.pair;
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
    int64_t count = (int64_t)p.count - 1, listed = 0;
    if (good) {
        for (int64_t i = 0; i < s.cells; i++) count += p.recent[i].weight != 0;
        made[0] = items((size_t)count, sizeof *cell, &cell), made[1] = items((size_t)count, sizeof *code, &code);
        made[2] = items((size_t)count, sizeof *weight, &weight);
        good = made[0] && made[1] && made[2];
    }
    for (int64_t i = 0, n; good && i < s.cells; i++, listed += n) {
        n = list_pairs(&p, i, code + listed, weight + listed);
        for (int64_t k = listed; k < listed + n; k++) cell[k] = i;
    }
    good = good && listed == count; /* weights that make no sense may come to 0 */
    free(p.recent), free(p.pair);
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
