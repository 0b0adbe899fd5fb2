/* Loops that wider registers make faster, where the processor has them. */
#ifndef LANDSAT_DOWNSAMPLE_FAST_H
#define LANDSAT_DOWNSAMPLE_FAST_H

/* Not under sanitizers: what chooses between clones runs before they are there. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define FAST __attribute__((target_clones("avx2", "default")))
#else
#define FAST
#endif

#endif
