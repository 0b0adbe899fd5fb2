/* The floor: what one thread must at least do for the mean of a band. Map the file, inflate every tile
 * with libdeflate, undo the predictor and add the pixels that are not nodata up into their cells.
 * For uint16, predictor 2, whole blocks of `factor` pixels. The exact means are left to the caller. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int (*Inflate)(void *, const void *, size_t, void *, size_t, size_t *);
typedef uint16_t eight __attribute__((vector_size(16)));

__attribute__((target_clones("avx2", "default")))
static void add(const uint16_t *v, uint32_t *sum, uint32_t *count, int64_t n)
{
    for (int64_t i = 0; i < n; i++) sum[i] += v[i], count[i] += v[i] != 0;
}

static void undo(const uint16_t *from, uint16_t *to, int64_t n)
{
    const eight zero = {0};
    eight last = zero, v;
    for (int64_t i = 0; i < n; i += 8) { /* tiles are a multiple of 16 wide */
        memcpy(&v, from + i, 16);
        v += __builtin_shuffle(zero, v, (eight){0, 8, 9, 10, 11, 12, 13, 14});
        v += __builtin_shuffle(zero, v, (eight){0, 0, 8, 9, 10, 11, 12, 13});
        v += __builtin_shuffle(zero, v, (eight){0, 0, 0, 0, 8, 9, 10, 11});
        v += last;
        memcpy(to + i, &v, 16);
        last = __builtin_shuffle(v, (eight){7, 7, 7, 7, 7, 7, 7, 7});
    }
}

#define CELLS(SIZE)                                                                                                    \
    for (; c < width / (SIZE); c++)                                                                                    \
        for (int64_t k = 0; k < (SIZE); k++) total[c] += lane[c * (SIZE) + k];

__attribute__((target_clones("avx2", "default")))
static void flush(const uint32_t *restrict lane, int64_t width, int64_t factor, uint32_t *restrict total)
{
    int64_t c = 0;
    if (factor == 2) CELLS(2)
    else if (factor == 3) CELLS(3)
    else if (factor == 4) CELLS(4)
    else CELLS(factor)
    for (int64_t x = c * factor; x < width; x++) total[c] += lane[x];
}

/* total and count: zeroed, ceil(height / factor) x ceil(width / factor). With factor 0 tiles are only inflated. */
int floor_sums(Inflate inflate, void *state, const uint8_t *file, const uint64_t *offsets, const uint64_t *sizes,
               int64_t height, int64_t width, int64_t tile, int64_t factor, uint32_t *total, uint32_t *count)
{
    const int64_t across = (width + tile - 1) / tile, down = (height + tile - 1) / tile;
    const int64_t cells = factor ? (width + factor - 1) / factor : 0, padded = across * tile;
    uint16_t *block = malloc(2 * tile * tile), *row = malloc(2 * tile);
    uint32_t *lanes = calloc(2 * padded * (tile + 1), 4); /* each tile row: a cell row is at least one pixel row */
    int bad = !block || !row || !lanes;
    for (int64_t ty = 0; ty < down && !bad; ty++) {
        const int64_t top = ty * tile, bottom = top + tile < height ? top + tile : height;
        for (int64_t tx = 0; tx < across && !bad; tx++) {
            const int64_t i = ty * across + tx;
            bad = inflate(state, file + offsets[i], sizes[i], block, 2 * tile * tile, NULL);
            for (int64_t y = top; factor && y < bottom; y++) {
                uint32_t *lane = lanes + (y / factor - top / factor) * 2 * padded + tx * tile;
                undo(block + (y - top) * tile, row, tile);
                add(row, lane, lane + padded, tile);
            }
        }
        for (int64_t k = top / factor; factor && k <= (bottom - 1) / factor; k++) {
            uint32_t *lane = lanes + (k - top / factor) * 2 * padded;
            flush(lane, width, factor, total + k * cells);
            flush(lane + padded, width, factor, count + k * cells);
            memset(lane, 0, 8 * padded);
        }
    }
    free(block), free(row), free(lanes);
    return bad;
}
