/* Two zlib streams (RFC 1950, 1951) inflated side by side.
 *
 * A decoder of DEFLATE waits most of the time: each symbol is looked up by bits that are known only once
 * the symbol before it is. Two streams have nothing to do with each other, so that a processor works at one
 * while it waits for the other.
 */
#ifndef LANDSAT_DOWNSAMPLE_INFLATE_H
#define LANDSAT_DOWNSAMPLE_INFLATE_H

#include <stdint.h>

/* What both buffers of a stream must have beyond their ends: bytes that may be read, and be written to. */
#define PADDING 320

typedef struct Pair Pair;

/* Room for two streams, or NULL without memory; `free` gives it back. */
Pair *pair_new(void);

/* Begin a stream in `lane` 0 or 1: `count` bytes that are to give `size`. */
void pair_begin(Pair *pair, int lane, const uint8_t *stored, int64_t count, uint8_t *out, int64_t size);

/* Decode until a stream ends; 0 where both lanes are idle. */
int pair_run(Pair *pair);

enum { IDLE, AT_WORK, ENDED, REFUSED };

/* What became of a stream; one that has ended gives the checksum (Adler-32) that its bytes must have. One is refused that
 * zlib refuses, or that does not give its bytes. Either leaves its lane idle. */
int pair_take(Pair *pair, int lane, uint32_t *checksum);

/* The checksum that bytes have. */
uint32_t adler32_of(const uint8_t *bytes, int64_t count);

#endif
