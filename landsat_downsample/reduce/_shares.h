/* Shares of pixels among cells of another projection as words of 16 bits: _make_shares.c makes them, _areas.c reads them.
 *
 * They go tile after tile of TILE columns and row after row, so that a tile can be added up as soon as it is decoded. A row
 * begins with how many words follow, and with the cell of its first pixels, the current one (two words each; cells are
 * numbered in the strip, -1 is outside). Each of what follows names a column (8 bits), up to which pixels lie whole in the
 * current cell:
 *
 *   00 n side column, n weights        from there on up to seven pixels (3 bits) have these weights in the current cell and
 *                                      the rest in the one at its side (2 bits): to the right, left, below or above. That
 *                                      becomes the current one.
 *   01 moves side column, n, n weights the same of any number of pixels; the cell becomes the current one, or not (1 bit)
 *   10 next n place column, 4n weights up to three pixels (2 bits) have these weights in four cells, row by row: which of
 *                                      them is the current one, and which becomes it (2 bits each)
 *   10 column, n, n parts              where that n is 0, one pixel: of each part the cell (two words) and the weight
 *   11 column, cell                    that cell becomes the current one (two words)
 *
 * So nearly all words are of the first and the third kind, which sums up to each pixel of the row let add up without a
 * further branch. As that reads eight weights in any case, so many words more follow at the end.
 */
#ifndef LANDSAT_DOWNSAMPLE_SHARES_H
#define LANDSAT_DOWNSAMPLE_SHARES_H

#include <stdint.h>

enum { UNIT = 4096, TILE = 256, OUTSIDE = -1 };
enum { FEW = 7, LANES = 8 }; /* pixels of EDGE at most, and how many are read */
enum { EDGE, MIXED, PARTS, CELL }; /* the upper two bits of what names a column */
enum { MOVES = 1 << 10 };
enum { CORNERS = 3 }; /* pixels of four cells at most that one head has */

typedef uint16_t word;

/* How many pixels EDGE has, and how many PARTS has of four cells. */
static inline int64_t few_of(unsigned head) { return head >> 10 & FEW; }
static inline int64_t corners_of(unsigned head) { return head >> 10 & CORNERS; }

/* Which of the four cells is the current one, and which becomes it: 1 of it to the right, 2 below. */
static inline int place_in(unsigned head) { return (int)(head >> 8 & 3); }
static inline int next_place(unsigned head) { return (int)(head >> 12 & 3); }

/* From the first of four cells to one of them. */
static inline int64_t to_place(int place, int64_t wide) { return (place & 1) + (place >> 1) * wide; }

#endif
