/* Loops over pixels for which NumPy needs several passes.
 *
 * Every function checks all sizes and weights before it touches memory, releases the GIL, and gives what the
 * NumPy code of _kernels, _reduce and _quality gives, bit for bit; without this module that code runs.
 *
 * Pixels are 16 bits wide. An axis is (int64 array (4, n), unit, block): start, stop, head and tail
 * of each cell, as in model/cells.py, in pixels of the array at hand. A pixel weighs `head` if it is the
 * first of its cell, `tail` if it is the last, else `unit`; `block` is the size of whole blocks, or 0.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "_areas.h"
#include "_axis.h"
#include "_fast.h"
#include "_index.h"
#include "_inflate.h"

typedef uint16_t pixel;

/* Whether sums of the pixels of a row of cells fit 32 bits. */
static int sums_fit(const Axis *y) { return y->most <= UINT32_MAX / UINT16_MAX; }

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

/* What is added up of a row of cells, a column of pixels each: sums and weights, and where they are asked for the lower
 * and upper halves of squares, and the least and the greatest number. */
typedef struct {
    uint32_t *sum, *count, *lower, *upper;
    pixel *least, *most;
} Lanes;

/* Lanes for some pixels, or NULL in `sum`. */
static Lanes new_lanes(int64_t width, int moments)
{
    Lanes l = {malloc((moments ? 20 : 8) * width), NULL, NULL, NULL, NULL, NULL};
    if (l.sum) l.count = l.sum + width;
    if (l.sum && moments) {
        l.lower = l.count + width, l.upper = l.lower + width;
        l.least = (pixel *)(l.upper + width), l.most = l.least + width;
    }
    return l;
}

static void clear_lanes(const Lanes *l, int64_t width)
{
    memset(l->sum, 0, (l->lower ? 16 : 8) * width);
    if (l->lower) memset(l->least, 0xFF, 2 * width), memset(l->most, 0, 2 * width);
}

/* As add_row, of all lanes. Halves of squares, as whole ones would not fit: sums_fit. */
static inline __attribute__((always_inline)) void add_squares(const pixel *restrict v, const uint8_t *restrict ok, pixel flip,
                                                              int has_empty, pixel empty, uint32_t w, const Lanes *l, int64_t n)
{
    uint32_t *restrict sum = l->sum, *restrict count = l->count, *restrict lower = l->lower, *restrict upper = l->upper;
    pixel *restrict least = l->least, *restrict most = l->most;
    for (int64_t i = 0; i < n; i++) {
        const pixel good = (!has_empty || v[i] != empty) && (!ok || ok[i]) ? UINT16_MAX : 0;
        const pixel low = (pixel)((v[i] ^ flip) | (pixel)~good), high = (v[i] ^ flip) & good;
        least[i] = low < least[i] ? low : least[i], most[i] = high > most[i] ? high : most[i];
    }
    for (int64_t i = 0; i < n; i++) {
        const pixel good = (!has_empty || v[i] != empty) && (!ok || ok[i]) ? UINT16_MAX : 0;
        const uint32_t u = (pixel)((v[i] ^ flip) & good), square = u * u;
        sum[i] += u * w, count[i] += w & (0 - (uint32_t)(good & 1));
        lower[i] += (square & UINT16_MAX) * w, upper[i] += (square >> 16) * w;
    }
}

FAST static void add_moments(const pixel *v, const uint8_t *ok, pixel flip, int64_t nodata, uint32_t w, const Lanes *l,
                             int64_t n)
{
    if (ok) add_squares(v, ok, flip, nodata >= 0, (pixel)nodata, w, l, n);
    else if (nodata < 0) add_squares(v, NULL, flip, 0, 0, w, l, n);
    else if (w == 1) add_squares(v, NULL, flip, 1, (pixel)nodata, 1, l, n);
    else add_squares(v, NULL, flip, 1, (pixel)nodata, w, l, n);
}

static inline int64_t sum_of(const uint32_t *v, int64_t n)
{
    int64_t s = 0;
    for (int64_t i = 0; i < n; i++) s += v[i];
    return s;
}

#define BLOCKS(SIZE)                                                                                         \
    for (; cell < full; cell++) out[cell] += sum_of(row + cell * (SIZE) - left, SIZE)

/* Add the columns `left` to `right` of a cell row up into cells that are whole blocks, but for those that are cut. */
FAST static void add_blocks(const uint32_t *row, const Axis *x, int64_t cell, int64_t left, int64_t right, int64_t *out)
{
    const int64_t size = x->block, full = right / size < x->n ? right / size : x->n;
    if (cell < x->n && cell * size < left) {
        const int64_t end = cell * size + size < right ? cell * size + size : right;
        out[cell++] += sum_of(row, end - left);
    }
    if (size == 2) BLOCKS(2);
    else if (size == 3) BLOCKS(3);
    else if (size == 4) BLOCKS(4);
    else BLOCKS(size);
    if (cell < x->n && cell * size < right) out[cell] += sum_of(row + cell * size - left, right - cell * size);
}

/* A cell of few pixels: the first of 4 among which they are, and what each of these weighs. */
typedef struct {
    uint32_t first, weight[4];
} ShortCell;

/* The cells of an axis as short ones; NULL where they are blocks, or one has more pixels. */
static ShortCell *short_cells(const Axis *x, int64_t pixels)
{
    int64_t fits = !x->block && pixels >= 4 && pixels <= UINT32_MAX;
    for (int64_t i = 0; fits && i < x->n; i++)
        for (int64_t p = x->start[i]; fits && p < x->stop[i]; p++)
            fits = x->stop[i] - x->start[i] <= 4 && (uint64_t)weight(x, i, p) <= UINT32_MAX;
    ShortCell *cell = fits ? calloc(x->n + 1, sizeof *cell) : NULL;
    for (int64_t i = 0; cell && i < x->n; i++) {
        cell[i].first = (uint32_t)(x->start[i] < pixels - 4 ? x->start[i] : pixels - 4);
        for (int64_t p = x->start[i]; p < x->stop[i]; p++) cell[i].weight[p - cell[i].first] = (uint32_t)weight(x, i, p);
    }
    return cell;
}

/* Of the part of a cell that lies in `left` to `right`. */
static int64_t weighted(const uint32_t *row, const Axis *x, int64_t cell, int64_t left, int64_t right)
{
    const int64_t a = x->start[cell] > left ? x->start[cell] : left, b = x->stop[cell] < right ? x->stop[cell] : right;
    if (a >= b) return 0;
    int64_t s = sum_of(row + a - left, b - a) * x->unit;
    if (a == x->start[cell]) s += row[a - left] * (x->head[cell] - x->unit);
    if (b == x->stop[cell] && b - 1 > x->start[cell]) s += row[b - 1 - left] * (x->tail[cell] - x->unit);
    return s;
}

/* Add the weighted columns `left` to `right` of a cell row up into their cells, from `cell` on. */
FAST static void add_columns(const uint32_t *row, const Axis *x, const ShortCell *brief, int64_t cell, int64_t left,
                             int64_t right, int64_t *out)
{
    if (x->block) {
        add_blocks(row, x, cell, left, right, out);
        return;
    }
    for (; cell < x->n && x->start[cell] < left; cell++) out[cell] += weighted(row, x, cell, left, right);
    for (; brief && cell < x->n && brief[cell].first >= left && brief[cell].first + 4 <= right; cell++) {
        const uint32_t *v = row + brief[cell].first - left, *w = brief[cell].weight;
        uint64_t s = 0;
        for (int k = 0; k < 4; k++) s += (uint64_t)v[k] * w[k];
        out[cell] += (int64_t)s;
    }
    for (; cell < x->n && x->start[cell] < right; cell++) out[cell] += weighted(row, x, cell, left, right);
}

/* The least and greatest numbers of the columns `left` to `right` of a cell row, to their cells. */
FAST static void fold_columns(const Lanes *l, const Axis *x, int64_t cell, int64_t left, int64_t right, pixel *least,
                              pixel *most)
{
    for (; cell < x->n && x->start[cell] < right; cell++) {
        const int64_t a = x->start[cell] > left ? x->start[cell] : left, b = x->stop[cell] < right ? x->stop[cell] : right;
        pixel low = least[cell], high = most[cell];
        for (int64_t i = a - left; i < b - left; i++) {
            low = l->least[i] < low ? l->least[i] : low;
            high = l->most[i] > high ? l->most[i] : high;
        }
        least[cell] = low, most[cell] = high;
    }
}

/* What is made of cells: arrays of all of them; those after `weight` are NULL where they are not asked for. */
typedef struct {
    int64_t *total, *weight, *lower, *upper;
    pixel *least, *most;
} Cells;

/* Add the columns `left` to `right` of row `k` of cells up into its cells, from `cell` on. */
static void add_lanes(const Lanes *l, const Axis *x, const ShortCell *brief, int64_t k, int64_t cell, int64_t left,
                      int64_t right, const Cells *to)
{
    const int64_t at = k * x->n;
    add_columns(l->sum, x, brief, cell, left, right, to->total + at);
    add_columns(l->count, x, brief, cell, left, right, to->weight + at);
    if (!to->lower) return;
    add_columns(l->lower, x, brief, cell, left, right, to->lower + at);
    add_columns(l->upper, x, brief, cell, left, right, to->upper + at);
    fold_columns(l, x, cell, left, right, to->least + at, to->most + at);
}

/* The arrays of a call, from `b` on: two, or six; 0 where one of them is too small. */
static int cells_fit(Cells *to, const Py_buffer *b, int64_t rows, int64_t columns)
{
    to->total = b[0].buf, to->weight = b[1].buf, to->lower = b[2].buf, to->upper = b[3].buf;
    to->least = b[4].buf, to->most = b[5].buf;
    for (int i = 0; i < (to->lower ? 6 : 2); i++)
        if (!b[i].buf || !holds(b + i, i < 4 ? 8 : 2, rows, columns)) return 0;
    return 1;
}

/* The exact quotient, rounded half to even, off the fill value unless that is legal: reduce/values.py. */
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
#define BUFFERS 10
static PyObject *done(Py_buffer *b, int good)
{
    for (int i = 0; i < BUFFERS; i++)
        if (b[i].obj) PyBuffer_Release(&b[i]);
    if (good) Py_RETURN_NONE;
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_BufferError, "array sizes do not agree");
    return NULL;
}

/* Fill a buffer from an open file: 0, or -1 where it failed, or ended too early (errno 0). Not mapped: a file that is cut
 * while it is mapped kills the process. */
static int read_all(int handle, uint8_t *to, int64_t count, int64_t offset)
{
    for (int64_t done = 0; done < count;) {
        const ssize_t n = pread(handle, to + done, count - done, offset + done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            if (!n) errno = 0;
            return -1;
        }
        done += n;
    }
    return 0;
}

/* The upper left part of a decoded tile to where it belongs, without the predictor. */
static void place(const uint8_t *from, uint8_t *to, int64_t item, int64_t wide, int predictor, int64_t stride, int64_t rows,
                  int64_t columns)
{
    for (; rows > 0; rows--, from += wide * item, to += stride * item)
        if (predictor == 2 && item == 1) undo_8(from, to, columns);
        else if (predictor == 2) undo_16((const pixel *)from, (pixel *)to, columns);
        else memcpy(to, from, columns * item);
}

static void fill(uint8_t *to, int64_t item, pixel value, int64_t stride, int64_t rows, int64_t columns)
{
    for (; rows > 0; rows--, to += stride * item)
        for (int64_t i = 0; i < columns; i++)
            if (item == 1) to[i] = (uint8_t)value;
            else ((pixel *)to)[i] = value;
}

/* Tiles of some rows of tiles, left to right, a few of them in hand. */
typedef struct {
    int handle;
    const uint64_t *offset, *count; /* of each tile in the file */
    long long base, item, high, wide, predictor, empty, stride, rows;
    int64_t n, across;
    uint8_t *to;                    /* of `rows` rows of `stride` pixels */
    Pair *pair;
    uint8_t *stored[2], *tile[2];
    int64_t at[2], next;            /* tiles in hand, and the first that is not */
    Cells to_cells;                 /* NULL in `total` where pixels are asked for */
    TileSums *shares;               /* of cells of another projection; else NULL */
    int torn;                       /* whether words of shares made no sense */
    const Axis *y, *x;              /* in pixels of all the tiles */
    ShortCell *brief;               /* of x, or NULL */
    pixel flip;
    long long nodata;
    Lanes lanes;                    /* of a tile */
} Tiles;

typedef enum { FINE, DAMAGED, UNREAD } Reading;

/* The part of a tile that is of the image. */
typedef struct {
    int64_t top, left, rows, columns;
} Part;

static Part part_of(const Tiles *r, int64_t tile)
{
    Part p = {tile / r->across * r->high, tile % r->across * r->wide, r->high, r->wide};
    if (p.rows > r->rows - p.top) p.rows = r->rows - p.top;
    if (p.columns > r->stride - p.left) p.columns = r->stride - p.left;
    return p;
}

/* The first cell that does not end before a pixel. */
static int64_t cell_at(const Axis *x, int64_t pixel)
{
    int64_t cell = 0, after = x->n;
    while (cell < after)
        if (x->stop[(cell + after) / 2] <= pixel) cell = (cell + after) / 2 + 1;
        else after = (cell + after) / 2;
    return cell;
}

/* The tile's part of the sums of its cells. */
static void sum_tile(const Tiles *r, int lane, int differences)
{
    const Part p = part_of(r, r->at[lane]);
    const int64_t bottom = p.top + p.rows, right = p.left + p.columns;
    const int64_t cell = r->x->block ? p.left / r->x->block : cell_at(r->x, p.left);
    const Lanes *l = &r->lanes;
    pixel *tile = (pixel *)r->tile[lane];
    for (int64_t row = 0; differences && row < p.rows; row++) undo_16(tile + row * r->wide, tile + row * r->wide, p.columns);
    for (int64_t k = cell_at(r->y, p.top); k < r->y->n && r->y->start[k] < bottom; k++) {
        const int64_t first = r->y->start[k] > p.top ? r->y->start[k] : p.top;
        clear_lanes(l, r->wide);
        for (int64_t row = first; row < r->y->stop[k] && row < bottom; row++) {
            const pixel *v = tile + (row - p.top) * r->wide;
            const uint32_t w = (uint32_t)weight(r->y, k, row);
            if (l->lower) add_moments(v, NULL, r->flip, r->nodata, w, l, p.columns);
            else add_row(v, NULL, r->flip, r->nodata, w, l->sum, l->count, p.columns);
        }
        add_lanes(l, r->x, r->brief, k, cell, p.left, right, &r->to_cells);
    }
}

static uint8_t *where(const Tiles *r, const Part *p)
{
    return r->to + (p->top * r->stride + p->left) * r->item;
}

/* The tile's part of the sums of cells of another projection. */
static void share_tile(Tiles *r, int lane, int differences)
{
    const Part p = part_of(r, r->at[lane]);
    pixel *tile = (pixel *)r->tile[lane];
    for (int64_t row = 0; differences && row < p.rows; row++) undo_16(tile + row * r->wide, tile + row * r->wide, p.columns);
    r->torn |= !tile_sums_add(r->shares, r->at[lane], tile, r->wide);
}

static void place_tile(Tiles *r, int lane)
{
    const Part p = part_of(r, r->at[lane]);
    if (r->shares) share_tile(r, lane, r->predictor == 2);
    else if (r->to_cells.total) sum_tile(r, lane, r->predictor == 2);
    else place(r->tile[lane], where(r, &p), r->item, r->wide, (int)r->predictor, r->stride, p.rows, p.columns);
}

static void place_empty(Tiles *r, int lane)
{
    const Part p = part_of(r, r->at[lane]);
    if (r->shares) fill(r->tile[lane], r->item, (pixel)r->empty, r->wide, p.rows, p.columns), share_tile(r, lane, 0);
    else if (r->to_cells.total) fill(r->tile[lane], r->item, (pixel)r->empty, r->wide, p.rows, p.columns), sum_tile(r, lane, 0);
    else fill(where(r, &p), r->item, (pixel)r->empty, r->stride, p.rows, p.columns);
}

/* Take tiles in hand until a lane has one to inflate. */
static Reading take_tile(Tiles *r, int lane)
{
    while (r->next < r->n) {
        const int64_t at = r->at[lane] = r->next++, count = r->count[at];
        if (!count) {
            place_empty(r, lane);
            continue;
        }
        if (read_all(r->handle, r->stored[lane], count, r->base + (int64_t)r->offset[at])) return UNREAD;
        pair_begin(r->pair, lane, r->stored[lane], count, r->tile[lane], r->high * r->wide * r->item);
        return FINE;
    }
    return FINE;
}

/* Put a tile that has ended where it belongs; take the next one. */
static Reading turn(Tiles *r, int lane)
{
    uint32_t checksum;
    const int state = pair_take(r->pair, lane, &checksum);
    if (state == AT_WORK) return FINE;
    if (state == REFUSED) return DAMAGED;
    if (state == ENDED) {
        if (adler32_of(r->tile[lane], r->high * r->wide * r->item) != checksum) return DAMAGED;
        place_tile(r, lane);
    }
    return take_tile(r, lane);
}

static Reading read_tiles(Tiles *r, int *lane)
{
    Reading how;
    do {
        for (*lane = 0; *lane < 2; ++*lane)
            if ((how = turn(r, *lane))) return how;
    } while (pair_run(r->pair));
    return FINE;
}

/* Read the tiles of a call: into pixels, or, with `to_cells`, into sums. */
static PyObject *read_call(Py_buffer *b, Tiles *r)
{
    const int64_t bytes = r->high * r->wide * r->item;
    uint64_t most = 0;
    for (int64_t i = 0; i < r->n; i++) most = r->count[i] > most ? r->count[i] : most;
    uint8_t *stored = malloc(2 * (most + PADDING)), *tile = malloc(2 * (bytes + PADDING));
    for (int lane = 0; lane < 2; lane++)
        r->stored[lane] = stored + lane * (most + PADDING), r->tile[lane] = tile + lane * (bytes + PADDING);
    r->pair = pair_new(), r->lanes = new_lanes(r->wide, r->to_cells.lower != NULL);
    r->brief = r->x ? short_cells(r->x, r->stride) : NULL;
    Reading how = FINE;
    int lane = 0, error = 0, good = r->pair && r->lanes.sum && stored && tile;
    if (!good) PyErr_NoMemory();
    else {
        Py_BEGIN_ALLOW_THREADS
        how = read_tiles(r, &lane);
        error = errno;
        Py_END_ALLOW_THREADS
    }
    free(r->pair), free(r->lanes.sum), free(r->brief), free(stored), free(tile);
    const long long at = r->at[lane & 1];
    if (how == DAMAGED) PyErr_Format(PyExc_ValueError, "tile %lld is damaged", at);
    else if (how == UNREAD && !error) PyErr_Format(PyExc_EOFError, "the file ends in tile %lld", at);
    else if (how == UNREAD) errno = error, PyErr_SetFromErrno(PyExc_OSError);
    return done(b, good && how == FINE);
}

/* Take the tiles of some whole rows of tiles from the arguments of a call: (handle, base, offsets, counts,
 * (itemsize, high, wide, predictor, empty, stride)), `high` x `wide` pixels in an open file. A tile without bytes is
 * `empty`. */
#define TILES "iLy*y*(LLLLLL)"
#define TILES_TO(r, b)                                                                           \
    &r.handle, &r.base, b, b + 1, &r.item, &r.high, &r.wide, &r.predictor, &r.empty, &r.stride

static int tiles_fit(Tiles *r, const Py_buffer *b)
{
    r->offset = b[0].buf, r->count = b[1].buf, r->n = b[0].len / 8;
    if ((r->item != 1 && r->item != 2) || r->high <= 0 || r->wide <= 0 || r->stride <= 0 || r->high > INT32_MAX
        || r->wide > INT32_MAX || r->stride > INT32_MAX || r->high > INT32_MAX / r->item / r->wide || r->base < 0
        || b[0].len != b[1].len || !r->n || r->n > INT32_MAX) return 0;
    for (int64_t i = 0; i < r->n; i++)
        if (r->count[i] > INT32_MAX || r->offset[i] > (uint64_t)(INT64_MAX - INT32_MAX - r->base)) return 0;
    r->across = (r->stride + r->wide - 1) / r->wide;
    return r->n % r->across == 0;
}

/* Whether the pixel rows end in the last row of tiles. */
static int rows_fit(const Tiles *r)
{
    const int64_t down = r->n / r->across;
    return r->rows > (down - 1) * r->high && r->rows <= down * r->high;
}

/* decode(*tiles, out): their pixels, to the rows of `out`, which are `stride` pixels long. */
static PyObject *decode(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    Tiles r = {0};
    if (!PyArg_ParseTuple(args, TILES "w*", TILES_TO(r, b), b + 2) || !tiles_fit(&r, b)) return done(b, 0);
    r.rows = b[2].len / r.item / r.stride;
    if (!rows_fit(&r)) return done(b, 0);
    r.to = b[2].buf;
    return read_call(b, &r);
}

/* decode_sums(*tiles, rows, flip, nodata, row cells, column cells, totals, counts[, lower, upper, least, most]): as of
 * `sums`, of the first `rows` of their pixel rows, added to what is there; the sums are of the flipped numbers. */
static PyObject *decode_sums(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    long long flip;
    Tiles r = {0};
    Axis y = {0}, x = {0};
    if (!PyArg_ParseTuple(args, TILES "LLL(y*LL)(y*LL)w*w*|w*w*w*w*", TILES_TO(r, b), &r.rows, &flip, &r.nodata, b + 2, &y.unit,
                          &y.block, b + 3, &x.unit, &x.block, b + 4, b + 5, b + 6, b + 7, b + 8, b + 9)
        || !tiles_fit(&r, b) || r.item != 2 || !rows_fit(&r) || !axis_fits(&y, b + 2, r.rows)
        || !axis_fits(&x, b + 3, r.stride) || !sums_fit(&y) || !cells_fit(&r.to_cells, b + 4, y.n, x.n))
        return done(b, 0);
    r.flip = (pixel)flip, r.y = &y, r.x = &x;
    return read_call(b, &r);
}

/* decode_shares(*tiles, rows, flip, nodata, words, begins, cells, cells of a row, totals, weights[, squares, least, most]): as
 * of `sum_shares` in _areas.c, of one row of tiles, which are 256 columns wide. */
static PyObject *decode_shares(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    long long flip, cells, wide;
    Tiles r = {0};
    if (!PyArg_ParseTuple(args, TILES "LLLy*y*LLw*w*|w*w*w*", TILES_TO(r, b), &r.rows, &flip, &r.nodata, b + 2, b + 3, &cells,
                          &wide, b + 4, b + 5, b + 6, b + 7, b + 8)
        || !tiles_fit(&r, b) || r.item != 2 || r.wide != 256 || r.n != r.across || !rows_fit(&r))
        return done(b, 0);
    const long long facts[] = {r.rows, r.stride, cells, wide, flip, r.nodata};
    if (!(r.shares = tile_sums_new(b + 2, facts))) return done(b, 0);
    PyObject *made = read_call(b, &r);
    free(r.shares);
    if (!made || !r.torn) return made;
    Py_DECREF(made);
    PyErr_SetString(PyExc_BufferError, "words of shares make no sense");
    return NULL;
}

/* sums(values, ok, width, flip, nodata, rows, columns, totals, counts[, lower, upper, least, most]): weighted sums of the
 * valid pixels of each cell, and their weights, int64. `flip` 0x8000 makes int16 of the bits; nodata -1: there is none.
 * With four more arrays of the flipped numbers: weighted sums of the lower and upper 16 bits of their squares, int64, and
 * the least and greatest of those that a cell touches, uint16, which are compared with what is there. */
static PyObject *sums(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    Axis y = {0}, x = {0};
    long long width, flip, nodata;
    Lanes lanes = {0};
    Cells to = {0};
    ShortCell *brief = NULL;
    int good = PyArg_ParseTuple(args, "y*z*LLL(y*LL)(y*LL)w*w*|w*w*w*w*", b, b + 1, &width, &flip, &nodata, b + 2, &y.unit,
                                &y.block, b + 3, &x.unit, &x.block, b + 4, b + 5, b + 6, b + 7, b + 8, b + 9)
        && width > 0 && axis_fits(&y, b + 2, b[0].len / 2 / width) && axis_fits(&x, b + 3, width)
        && (!b[1].buf || b[1].len >= b[0].len / 2) && cells_fit(&to, b + 4, y.n, x.n)
        && sums_fit(&y) && (flip == 0 || flip == 0x8000)
        && ((lanes = new_lanes(width, to.lower != NULL)).sum || PyErr_NoMemory());
    if (good) {
        brief = short_cells(&x, width);
        Py_BEGIN_ALLOW_THREADS
        for (int64_t k = 0; k < y.n; k++) {
            int64_t *total = to.total + k * x.n, *count = to.weight + k * x.n;
            clear_lanes(&lanes, width);
            memset(total, 0, 8 * x.n), memset(count, 0, 8 * x.n);
            if (to.lower) memset(to.lower + k * x.n, 0, 8 * x.n), memset(to.upper + k * x.n, 0, 8 * x.n);
            for (int64_t r = y.start[k]; r < y.stop[k]; r++) {
                const pixel *v = (const pixel *)b[0].buf + r * width;
                const uint8_t *ok = b[1].buf ? (const uint8_t *)b[1].buf + r * width : NULL;
                const uint32_t w = (uint32_t)weight(&y, k, r);
                if (to.lower) add_moments(v, ok, (pixel)flip, nodata, w, &lanes, width);
                else add_row(v, ok, (pixel)flip, nodata, w, lanes.sum, lanes.count, width);
            }
            add_lanes(&lanes, &x, brief, k, 0, 0, width, &to);
            for (int64_t i = 0; flip && i < x.n; i++) total[i] -= flip * count[i];
        }
        Py_END_ALLOW_THREADS
    }
    free(lanes.sum), free(brief);
    return done(b, good);
}

/* means(totals, counts, out, rule): rule is int64 (fill, whether it is legal, least and most of the type). */
static PyObject *means(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    int good = PyArg_ParseTuple(args, "y*y*w*y*", b, b + 1, b + 2, b + 3)
        && b[0].len == b[1].len && b[2].len == b[0].len / 4 && b[3].len == 32;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        divide(b[0].buf, b[1].buf, b[2].buf, b[2].len / 2, b[3].buf);
        Py_END_ALLOW_THREADS
    }
    return done(b, good);
}

/* spreads(counts, totals, squares, out): counts times squares less the square of totals, exact until float64 takes it. */
static PyObject *spreads(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    int good = PyArg_ParseTuple(args, "y*y*y*w*", b, b + 1, b + 2, b + 3)
        && b[0].len == b[1].len && b[0].len == b[2].len && b[0].len == b[3].len;
    if (good) {
        const int64_t *count = b[0].buf, *total = b[1].buf, *squares = b[2].buf;
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = 0; i < b[3].len / 8; i++)
            ((double *)b[3].buf)[i] = (double)((__int128)count[i] * squares[i] - (__int128)total[i] * total[i]);
        Py_END_ALLOW_THREADS
    }
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
    Py_buffer b[BUFFERS] = {{0}};
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

/* The end of the run of pixels that equal v[at], at most `stop`. */
FAST static int64_t run_end(const pixel *v, int64_t at, int64_t stop)
{
    const pixel code = v[at];
    const uint64_t four = code * UINT64_C(0x0001000100010001);
    int64_t i = at;
    for (; i + 64 <= stop; i += 64) {
        pixel differs = 0;
        for (int64_t k = 0; k < 64; k++) differs |= v[i + k] ^ code;
        if (differs) break;
    }
    for (uint64_t one; i + 4 <= stop; i += 4) {
        memcpy(&one, v + i, 8);
        if (one != four) break;
    }
    while (i < stop && v[i] == code) i++;
    return i;
}

/* tally(codes, counts): add the pixels of each code to counts (int64, 65536). */
static PyObject *tally(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    int good = PyArg_ParseTuple(args, "y*w*", b, b + 1) && b[1].len == 8 << 16;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        const pixel *v = b[0].buf;
        const int64_t n = b[0].len / 2;
        int64_t *count = b[1].buf;
        for (int64_t at = 0, end; at < n; at = end) count[v[at]] += (end = run_end(v, at, n)) - at;
        Py_END_ALLOW_THREADS
    }
    return done(b, good);
}

/* What a code means: _quality.meaning. */
typedef struct {
    uint32_t reached;   /* one bit for each level of a field that it reaches */
    uint8_t question;   /* one bit for each percentage that it counts for; the first: it is valid */
    uint8_t pad[3];
    uint8_t percent[8]; /* of a cell that holds nothing else */
} Meaning;

typedef struct {
    int64_t rule; /* how many of the valid pixels must reach it */
    int64_t mask; /* bits of its field */
    int64_t value; /* its own */
} Level;

enum { ANY, HALF, ALL };
enum { BY_FIELD, MODE, NEAREST };

typedef struct {
    int64_t policy, fill_mask, fill, clear, cloudy, planes;
} Quality;

/* The codes of one cell, each with its weight. */
typedef struct {
    pixel *code;
    int64_t *weight, n;
    int64_t beyond;               /* what of the cell lies beyond the image */
    uint32_t *stamp, *slot, cell; /* by code: the cell that it was last seen in, and its place in the list */
} Codes;

static inline void add_code(Codes *c, pixel code, int64_t weight)
{
    if (c->stamp[code] != c->cell) {
        c->stamp[code] = c->cell, c->slot[code] = (uint32_t)c->n;
        c->code[c->n] = code, c->weight[c->n++] = 0;
    }
    c->weight[c->slot[code]] += weight;
}

/* Pixels up to which one after the other is faster than a call. */
#define SHORT 16

/* List the codes of a cell, run by run; pixels from row `own` and column `from` on were in no cell before: count them. */
static void list_codes(Codes *c, const pixel *codes, int64_t width, const Axis *y, const Axis *x, int64_t k, int64_t i,
                       int64_t own, int64_t from, int64_t *count)
{
    const int64_t a = x->start[i], b = x->stop[i];
    c->n = 0, c->cell++;
    for (int64_t r = y->start[k]; r < y->stop[k]; r++) {
        const pixel *row = codes + r * width;
        const int64_t high = weight(y, k, r);
        for (int64_t p = a, end; p < b; p = end) {
            if (b - a > SHORT) end = run_end(row, p, b);
            else for (end = p + 1; end < b && row[end] == row[p];) end++;
            int64_t wide = (end - p) * x->unit;
            if (p == a) wide += x->head[i] - x->unit;
            if (end == b && b - 1 > a) wide += x->tail[i] - x->unit;
            add_code(c, row[p], high * wide);
            if (r >= own && end > from) count[row[p]] += end - (p > from ? p : from);
        }
    }
}

/* The code of a mixed cell, level by level: _quality.decide_fields. */
static pixel decide_fields(const Codes *c, const Meaning *meaning, const Quality *q, const Level *level, int64_t levels,
                           int64_t valid)
{
    uint32_t any = 0;
    int64_t out = 0;
    for (int64_t j = 0; j < c->n; j++)
        if (!(c->code[j] & q->fill_mask)) any |= meaning[c->code[j]].reached;
    for (int64_t k = 0; k < levels; k++) {
        int agrees = any >> k & 1;
        if (agrees && level[k].rule != ANY) {
            int64_t part = 0;
            for (int64_t j = 0; j < c->n; j++)
                if (!(c->code[j] & q->fill_mask) && meaning[c->code[j]].reached >> k & 1) part += c->weight[j];
            agrees = (level[k].rule == ALL ? part : 2 * part) >= valid;
        }
        if (agrees) out = (out & ~level[k].mask) | level[k].value;
    }
    return (pixel)(out & q->cloudy ? out : out | q->clear);
}

/* The code that stands for a mixed cell with enough valid pixels. */
static pixel decide(const Codes *c, const Meaning *meaning, const Quality *q, const Level *level, int64_t levels,
                    int64_t valid)
{
    int64_t most = -1, different = 0;
    for (int64_t j = 0; j < c->n; j++) {
        if (c->code[j] & q->fill_mask) continue;
        different++;
        if (most < 0 || c->weight[j] > c->weight[most]
            || (c->weight[j] == c->weight[most] && c->code[j] < c->code[most])) most = j;
    }
    if (!different) return (pixel)q->fill;
    /* One code beside fill: it is given back as it is. */
    if (q->policy == MODE || different == 1) return c->code[most];
    return decide_fields(c, meaning, q, level, levels, valid);
}

/* Rounded half to even, as in divide. */
static inline uint8_t percent_of(int64_t part, int64_t whole)
{
    const double magic = 6755399441055744.0;
    return (uint8_t)(int64_t)((100.0 * (double)part / (double)whole + magic) - magic);
}

/* Percentages of a mixed cell; returns the weight of its valid pixels. */
static int64_t percentages(const Codes *c, const Meaning *meaning, uint8_t *percent)
{
    int64_t part[8] = {0}, extent = c->beyond;
    for (int64_t j = 0; j < c->n; j++) {
        const uint8_t question = meaning[c->code[j]].question;
        extent += c->weight[j];
        for (int k = 0; k < 8; k++) part[k] += (question >> k & 1) * c->weight[j];
    }
    for (int k = 0; k < 8; k++) {
        const int64_t whole = k ? part[0] : extent;
        percent[k] = whole ? percent_of(part[k], whole) : k ? 255 : 0;
    }
    return part[0];
}

/* What a mixed cell of few codes was answered: small cells hold the same ones again and again. */
#define FEW 4
#define ANSWERS (1 << 10)
typedef struct {
    int64_t n, weight[FEW], beyond, valid;
    pixel code[FEW], decided;
    uint8_t percent[8];
} Answer;

/* The answer for a mixed cell, by the codes listed: one given before, or a new one in its place. */
static const Answer *answer(Answer *known, const Codes *c, const Meaning *meaning, const Quality *q, const Level *level,
                            int64_t levels)
{
    uint64_t hash = (uint64_t)c->beyond;
    for (int64_t j = 0; j < c->n; j++) hash = (hash ^ c->code[j] ^ (uint64_t)c->weight[j] << 16) * UINT64_C(0x9E3779B97F4A7C15);
    Answer *at = known + (hash >> (64 - 10));
    int64_t same = c->n && at->n == c->n && at->beyond == c->beyond;
    for (int64_t j = 0; same && j < c->n; j++) same = at->code[j] == c->code[j] && at->weight[j] == c->weight[j];
    if (same) return at;
    at->n = c->n <= FEW ? c->n : 0, at->beyond = c->beyond; /* 0: not to be found again */
    for (int64_t j = 0; j < at->n; j++) at->code[j] = c->code[j], at->weight[j] = c->weight[j];
    at->valid = percentages(c, meaning, at->percent);
    at->decided = at->valid && q->policy != NEAREST ? decide(c, meaning, q, level, levels, at->valid) : 0;
    return at;
}

/* Cells `from` to `to` of a row of cells get one code and its percentages. */
static void spread(pixel code, const uint8_t *percent, int64_t planes, pixel *out, uint8_t *shares, int64_t plane,
                   int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) out[i] = code;
    for (int64_t k = 0; k < planes; k++)
        if (to - from < 8) for (int64_t i = from; i < to; i++) shares[k * plane + i] = percent[k];
        else memset(shares + k * plane + from, percent[k], to - from);
}

/* Where the pixel rows of a row of cells differ from their first, and, bytes, where that or the pixel to the left does;
 * 8 more say that it does, so that who looks for the next one need not look for the end. */
FAST static void find_changes(const pixel *row, int64_t rows, int64_t width, pixel *apart, uint8_t *change)
{
    if (rows < 2) memset(apart, 0, 2 * width);
    for (int64_t r = 1; r < rows; r++) {
        const pixel *v = row + r * width;
        if (r == 1) for (int64_t i = 0; i < width; i++) apart[i] = v[i] ^ row[i];
        else for (int64_t i = 0; i < width; i++) apart[i] |= v[i] ^ row[i];
    }
    change[0] = 1;
    for (int64_t i = 1; i < width; i++) change[i] = (apart[i] | (row[i] ^ row[i - 1])) != 0;
    memset(change + width, 1, 8);
}

/* The first change from a pixel on. */
static inline int64_t next_change(const uint8_t *change, int64_t at)
{
    for (uint64_t eight = 0; memcpy(&eight, change + at, 8), !eight;) at += 8;
    while (!change[at]) at++;
    return at;
}

/* Cells `first` to `last` of an axis have pixels everywhere in them; the others reach beyond the image. */
typedef struct {
    const int64_t *whole; /* what each cell weighs with pixels everywhere in it */
    int64_t first, last;
} Inner;

/* The inner cells of an axis, and how many of its cells up to their last end at each pixel edge or before it; 0 where a
 * cell weighs more than it may. */
static int inner_cells(Inner *in, const Axis *x, int64_t width, int64_t *ends)
{
    for (int64_t i = 0; i < x->n; i++)
        if (in->whole[i] < extent(x, i) || in->whole[i] > MOST_WEIGHT) return 0;
    in->first = 0, in->last = x->n;
    while (in->last && (x->start[in->last - 1] == x->stop[in->last - 1] || extent(x, in->last - 1) < in->whole[in->last - 1]))
        in->last--;
    while (in->first < in->last && extent(x, in->first) < in->whole[in->first]) in->first++;
    for (int64_t p = 0, n = 0; ends && p <= width; ends[p++] = n)
        while (n < in->last && x->stop[n] <= p) n++;
    return 1;
}

/* quality(codes, width, rows, columns, meaning, levels, rule, least, axes, own, counts, first, out, percent): code and
 * percentages of each cell, by the structures above, written from cell row `first` on. `least` (int64, cells by cells, or
 * None: 1) is the weight of valid pixels that a mixed cell needs; `axes` (int64, rows and then columns of cells): the
 * pixel of each one's centre, and then what each weighs with pixels everywhere in it. Adds the pixels of each code to counts
 * (int64, 65536), from pixel row `own` on. */
static PyObject *quality(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    Axis y = {0}, x = {0};
    long long width, own, first;
    Quality q = {0};
    pixel *apart = NULL;
    uint8_t *change = NULL;
    int64_t *ends = NULL;
    Answer *known = NULL;
    Codes c = {0};
    int good = PyArg_ParseTuple(args, "y*L(y*LL)(y*LL)y*y*(LLLLLL)z*y*Lw*Lw*w*", b, &width, b + 1, &y.unit, &y.block, b + 2,
                                &x.unit, &x.block, b + 3, b + 4, &q.policy, &q.fill_mask, &q.fill, &q.clear, &q.cloudy,
                                &q.planes, b + 5, b + 6, &own, b + 7, &first, b + 8, b + 9)
        && width > 0 && first >= 0 && axis_fits(&y, b + 1, b[0].len / 2 / width) && axis_fits(&x, b + 2, width)
        && b[3].len == (Py_ssize_t)sizeof(Meaning) << 16 && b[4].len / (Py_ssize_t)sizeof(Level) <= 32
        && (!b[5].buf || holds(b + 5, 8, y.n, x.n)) && b[6].len / 16 == y.n + x.n && b[7].len == 8 << 16
        && first <= INT32_MAX && holds(b + 8, 2, first + y.n, x.n) && q.planes >= 0 && q.planes <= 8 && b[9].len == q.planes * (b[8].len / 2);
    const int64_t *least = b[5].buf, *centre = b[6].buf, levels = b[4].len / (int64_t)sizeof(Level), plane = b[8].len / 2;
    int64_t *count = b[7].buf;
    for (int64_t i = 0; good && i < y.n + x.n; i++)
        good = centre[i] >= 0 && centre[i] < (i < y.n ? b[0].len / 2 / width : width);
    Inner down = {centre + y.n + x.n, 0, 0}, across = {down.whole + y.n, 0, 0};
    if (good) {
        apart = malloc(2 * width), change = malloc(width + 8), ends = malloc(8 * (width + 1));
        known = calloc(ANSWERS, sizeof *known), c.stamp = calloc(2 << 16, 4), c.code = malloc(2 << 16), c.weight = malloc(8 << 16);
        good = (apart && change && ends && known && c.stamp && c.code && c.weight) || PyErr_NoMemory();
    }
    if (good) good = inner_cells(&down, &y, 0, NULL) && inner_cells(&across, &x, width, ends);
    if (good) {
        const Meaning *meaning = b[3].buf;
        c.slot = c.stamp + (1 << 16);
        Py_BEGIN_ALLOW_THREADS
        for (int64_t k = 0; k < y.n; k++) {
            const pixel *row = (const pixel *)b[0].buf + y.start[k] * width;
            const int64_t rows = y.stop[k] - y.start[k], high = extent(&y, k), inner = rows && k >= down.first && k < down.last;
            pixel *out = (pixel *)b[8].buf + (first + k) * x.n;
            uint8_t *shares = (uint8_t *)b[9].buf + (first + k) * x.n;
            if (rows) find_changes(row, rows, width, apart, change);
            if (own < y.start[k]) own = y.start[k];
            for (int64_t i = 0, next, from = 0; i < x.n; i = next) {
                const int64_t a = x.start[i];
                next = i;
                if (inner && i >= across.first && i < across.last && a < x.stop[i] && !apart[a]) {
                    const int64_t whole = ends[next_change(change, a + 1)];
                    if (whole > i) next = whole;
                }
                if (next > i) {
                    const pixel code = row[a];
                    if (own < y.stop[k] && from < x.stop[next - 1])
                        count[code] += (y.stop[k] - own) * (x.stop[next - 1] - (a > from ? a : from));
                    from = x.stop[next - 1];
                    spread(code & q.fill_mask ? (pixel)q.fill : code, meaning[code].percent, q.planes, out, shares, plane, i, next);
                    continue;
                }
                c.beyond = down.whole[k] * across.whole[i] - high * extent(&x, i);
                list_codes(&c, b[0].buf, width, &y, &x, k, i, own, from, count);
                from = x.stop[i];
                const Answer *given = answer(known, &c, meaning, &q, b[4].buf, levels);
                pixel code = (pixel)q.fill;
                if (given->valid > 0 && given->valid >= (least ? least[k * x.n + i] : 1)) {
                    code = q.policy == NEAREST ? ((const pixel *)b[0].buf)[centre[k] * width + centre[y.n + i]]
                                               : given->decided;
                    if (code & q.fill_mask) code = (pixel)q.fill;
                }
                next = i + 1;
                spread(code, given->percent, q.planes, out, shares, plane, i, next);
            }
            if (own < y.stop[k]) own = y.stop[k];
        }
        Py_END_ALLOW_THREADS
    }
    free(apart), free(change), free(ends), free(known), free(c.stamp), free(c.code), free(c.weight);
    return done(b, good);
}

/* judge_pairs(cells, codes, weights, meaning, levels, rule, least, beyond, centres, out, percent): code and percentages of
 * cells that are numbered (int64, ascending), from what they have of each code (uint16, int64), as of `quality`. `beyond`
 * (int64): what lies beyond the image of each cell of `out`; `centres` (uint16, or None): the code of each one's centre. */
static PyObject *judge_pairs(PyObject *Py_UNUSED(self), PyObject *args)
{
    Py_buffer b[BUFFERS] = {{0}};
    Quality q = {0};
    Answer *known = NULL;
    int good = PyArg_ParseTuple(args, "y*y*y*y*y*(LLLLLL)z*y*z*w*w*", b, b + 1, b + 2, b + 3, b + 4, &q.policy, &q.fill_mask,
                                &q.fill, &q.clear, &q.cloudy, &q.planes, b + 5, b + 6, b + 7, b + 8, b + 9);
    const int64_t n = b[0].len / 8, cells = b[8].len / 2, *cell = b[0].buf, *least = b[5].buf, *beyond = b[6].buf;
    const pixel *code = b[1].buf, *centre = b[7].buf;
    const Meaning *meaning = b[3].buf;
    good = good && b[1].len / 2 == n && b[2].len / 8 == n && b[3].len == (Py_ssize_t)sizeof(Meaning) << 16
        && b[4].len / (Py_ssize_t)sizeof(Level) <= 32 && (!least || b[5].len / 8 == cells) && b[6].len / 8 == cells
        && (centre ? b[7].len / 2 == cells : q.policy != NEAREST) && q.planes >= 0 && q.planes <= 8 && b[9].len == q.planes * cells;
    for (int64_t i = 0; good && i < n; i++) good = cell[i] >= 0 && cell[i] < cells;
    if (good) good = (known = calloc(ANSWERS, sizeof *known)) || PyErr_NoMemory();
    if (good) {
        pixel *out = b[8].buf;
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = 0, end; i < n; i = end) {
            for (end = i + 1; end < n && cell[end] == cell[i];) end++;
            const Codes c = {.code = (pixel *)code + i, .weight = (int64_t *)b[2].buf + i, .n = end - i, .beyond = beyond[cell[i]]};
            const Answer *given = answer(known, &c, meaning, &q, b[4].buf, b[4].len / (int64_t)sizeof(Level));
            pixel found = (pixel)q.fill;
            if (c.n == 1 && !c.beyond) found = *c.code;
            else if (given->valid > 0 && given->valid >= (least ? least[cell[i]] : 1))
                found = q.policy == NEAREST ? centre[cell[i]] : given->decided;
            out[cell[i]] = found & q.fill_mask ? (pixel)q.fill : found;
            for (int64_t k = 0; k < q.planes; k++) ((uint8_t *)b[9].buf)[k * cells + cell[i]] = given->percent[k];
        }
        Py_END_ALLOW_THREADS
    }
    free(known);
    return done(b, good);
}

static PyMethodDef functions[] = {
    {"decode", decode, METH_VARARGS, NULL},
    {"decode_sums", decode_sums, METH_VARARGS, NULL},     {"decode_shares", decode_shares, METH_VARARGS, NULL},
    {"sums", sums, METH_VARARGS, NULL},
    {"means", means, METH_VARARGS, NULL},         {"spreads", spreads, METH_VARARGS, NULL},
    {"quality", quality, METH_VARARGS, NULL},
    {"histogram", histogram, METH_VARARGS, NULL}, {"tally", tally, METH_VARARGS, NULL},
    {"share_areas", share_areas, METH_VARARGS, NULL},   {"count_shares", count_shares, METH_VARARGS, NULL},
    {"list_shares", list_shares, METH_VARARGS, NULL},   {"sum_shares", sum_shares, METH_VARARGS, NULL},
    {"pair_shares", pair_shares, METH_VARARGS, NULL},
    {"index_pixels", index_pixels, METH_VARARGS, NULL},   {"whole_sums", whole_sums, METH_VARARGS, NULL},
    {"sum_whole_shares", sum_whole_shares, METH_VARARGS, NULL},   {"judge_pairs", judge_pairs, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* What Python beside it must be made for: raised with each change of a function's name, arguments or meaning, here and in
 * native.py. */
enum { INTERFACE = 6 };

static int filled(PyObject *made) { return PyModule_AddIntConstant(made, "INTERFACE", INTERFACE); }

static PyModuleDef_Slot slots[] = {{Py_mod_exec, filled}, {0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, functions, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module);
}
