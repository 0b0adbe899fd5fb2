#include "_inflate.h"

#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define FAST(feature) __attribute__((target_clones(feature, "default")))
#else
#define FAST(feature)
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define SELDOM(x) __builtin_expect(!!(x), 0)
#else
#define INLINE static inline
#define SELDOM(x) (x)
#endif

/* An entry of a table says what the lowest bits of a stream mean:
 * bit 31: a literal; bits 16-30: which, or the base of a length or a distance (0: end of the block), or, where nothing
 * is to be used up, the place of a second table; bits 8-15: bits of the code; bits 0-7: of the code and what follows it.
 * 0 is no code. */
#define LITERAL UINT32_C(0x80000000)

/* What a symbol means that has a code and is never used. */
#define NOTHING UINT32_MAX

/* Bits of the first table's index, and at most that many more of a second one's; other widths and more streams were tried:
 * benchmarks/BOUNDS.md. */
enum { LONGEST = 15, SYMBOL_BITS = 10, DISTANCE_BITS = 8, LENGTH_BITS = 7 };
enum { SYMBOLS = 288, DISTANCES = 32, LENGTHS = 19, END_OF_BLOCK = 256 };

#define ROOM(first, codes) ((1 << (first)) + ((codes) << (LONGEST - (first))))

typedef struct {
    uint32_t symbols[ROOM(SYMBOL_BITS, SYMBOLS)];
    uint32_t distances[ROOM(DISTANCE_BITS, DISTANCES)];
    int fixed; /* whether they are those of all blocks without codes of their own */
} Tables;

typedef struct {
    uint64_t bits; /* not used yet, the next one lowest */
    uint32_t have; /* how many, in its lowest 6 bits */
    const uint8_t *in, *in_end;
    uint8_t *out, *out_end, *out_begin;
    int last, state;
} Lane;

struct Pair {
    Lane lane[2];
    Tables tables[2];
};

INLINE void refill(Lane *s)
{
    uint64_t word;
    memcpy(&word, s->in, 8);
    s->bits |= word << (s->have & 63);
    s->in += (63 - (s->have & 63)) >> 3;
    s->have |= 56;
}

INLINE uint32_t peek(const Lane *s, unsigned n) { return (uint32_t)s->bits & ((UINT32_C(1) << n) - 1); }

/* The lowest 6 bits of an entry, or of a number, count. */
INLINE void use(Lane *s, uint32_t n) { s->bits >>= n & 63, s->have -= n; }

INLINE uint32_t take(Lane *s, unsigned n)
{
    const uint32_t value = peek(s, n);
    use(s, n);
    return value;
}

INLINE void literal(Lane *s, uint32_t entry) { use(s, entry), *s->out++ = (uint8_t)(entry >> 16); }

/* Base and what follows the code of an entry whose code the stream begins with. */
INLINE uint32_t value(Lane *s, uint32_t entry)
{
    const uint64_t was = s->bits & ~(~UINT64_C(0) << (entry & 63));
    use(s, entry);
    return (entry >> 16) + (uint32_t)(was >> (entry >> 8 & 63));
}

/* Both may run ahead by less than PADDING until this is asked again. */
INLINE int has_room(const Lane *s) { return (s->out <= s->out_end) & (s->in <= s->in_end + 8); }

/* RFC 1951, 3.2.5 */
static uint32_t meaning_of_symbol(uint32_t symbol)
{
    if (symbol < END_OF_BLOCK) return LITERAL | symbol << 16;
    if (symbol == END_OF_BLOCK) return 0;
    if (symbol == 285) return 258 << 16;
    if (symbol > 285) return NOTHING;
    if (symbol < 265) return (symbol - 254) << 16;
    const uint32_t extra = (symbol - 261) >> 2;
    return (((4 + ((symbol - 261) & 3)) << extra) + 3) << 16 | extra;
}

static uint32_t meaning_of_distance(uint32_t symbol)
{
    if (symbol < 2) return (symbol + 1) << 16;
    if (symbol > 29) return NOTHING;
    const uint32_t extra = (symbol >> 1) - 1;
    return (((2 + (symbol & 1)) << extra) + 1) << 16 | extra;
}

static uint32_t meaning_of_length(uint32_t symbol) { return symbol << 16; }

/* The table of a canonical code (RFC 1951, 3.2.2) with `n` lengths; 0 where there can be none such, or, as zlib has it,
 * where bits are left that are no code, unless `alone`: one symbol may have one bit, or none any. */
static int build(uint32_t *table, unsigned first, const uint8_t *lengths, uint32_t n, uint32_t (*meaning)(uint32_t),
                 int alone)
{
    uint32_t count[LONGEST + 1] = {0}, next[LONGEST + 1] = {0}, free = UINT32_C(1) << first;
    for (uint32_t i = 0; i < n; i++) count[lengths[i]]++;
    count[0] = 0;
    for (int k = 1; k <= LONGEST; k++) next[k] = (next[k - 1] + count[k - 1]) << 1;
    const uint32_t used = next[LONGEST] + count[LONGEST];
    if (used != UINT32_C(1) << LONGEST && !(alone && count[1] < 2 && used == count[1] << (LONGEST - 1))) return 0;
    memset(table, 0, sizeof *table << first);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = lengths[i];
        if (!bits) continue;
        uint32_t code = next[bits]++, at = 0;
        if (meaning(i) == NOTHING) continue;
        for (uint32_t k = 0; k < bits; k++, code >>= 1) at = at << 1 | (code & 1); /* a stream has its first bit lowest */
        const uint32_t entry = meaning(i) + bits * 0x101;
        uint32_t *part = table, index = first, step = bits;
        if (bits > first) {
            uint32_t *link = table + (at & ((UINT32_C(1) << first) - 1));
            index = LONGEST - first, step = bits - first;
            if (!*link) *link = free << 16, memset(table + free, 0, sizeof *table << index), free += UINT32_C(1) << index;
            part = table + (*link >> 16), at >>= first;
        }
        for (; at < UINT32_C(1) << index; at += UINT32_C(1) << step) part[at] = entry;
    }
    return 1;
}

/* The lengths of two codes, which are coded themselves (RFC 1951, 3.2.7). */
static int read_lengths(Lane *s, uint8_t *lengths, uint32_t n)
{
    static const uint8_t order[LENGTHS] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint32_t table[ROOM(LENGTH_BITS, LENGTHS)];
    uint8_t own[LENGTHS] = {0};
    refill(s);
    for (uint32_t i = 0, given = take(s, 4) + 4; i < given; i++) refill(s), own[order[i]] = (uint8_t)take(s, 3);
    if (!build(table, LENGTH_BITS, own, LENGTHS, meaning_of_length, 0)) return 0;
    for (uint32_t i = 0; i < n;) {
        if (!has_room(s)) return 0;
        refill(s);
        const uint32_t entry = table[peek(s, LENGTH_BITS)], symbol = entry >> 16;
        if (!entry || (symbol == 16 && !i)) return 0;
        use(s, entry);
        uint32_t repeat = symbol < 16 ? 1 : symbol == 16 ? 3 + take(s, 2) : symbol == 17 ? 3 + take(s, 3) : 11 + take(s, 7);
        const uint8_t length = (uint8_t)(symbol < 16 ? symbol : symbol == 16 ? lengths[i - 1] : 0);
        if (repeat > n - i) return 0;
        for (; repeat; repeat--) lengths[i++] = length;
    }
    return 1;
}

/* The head of a block with codes of its own. */
static int own_codes(Lane *s, Tables *t)
{
    uint8_t lengths[SYMBOLS + DISTANCES];
    const uint32_t symbols = 257 + take(s, 5), distances = 1 + take(s, 5);
    t->fixed = 0;
    return symbols <= 286 && distances <= 30 && read_lengths(s, lengths, symbols + distances) && lengths[END_OF_BLOCK]
        && build(t->symbols, SYMBOL_BITS, lengths, symbols, meaning_of_symbol, 1)
        && build(t->distances, DISTANCE_BITS, lengths + symbols, distances, meaning_of_distance, 1);
}

/* RFC 1951, 3.2.6 */
static int fixed_codes(Tables *t)
{
    uint8_t lengths[SYMBOLS + DISTANCES];
    if (t->fixed) return 1;
    memset(lengths, 8, SYMBOLS), memset(lengths + 144, 9, 112), memset(lengths + END_OF_BLOCK, 7, 24);
    memset(lengths + SYMBOLS, 5, DISTANCES);
    return t->fixed = build(t->symbols, SYMBOL_BITS, lengths, SYMBOLS, meaning_of_symbol, 0)
        && build(t->distances, DISTANCE_BITS, lengths + SYMBOLS, DISTANCES, meaning_of_distance, 0);
}

/* The first byte that no bit was used of. */
INLINE const uint8_t *unused(const Lane *s) { return s->in - ((s->have & 63) >> 3); }

/* A block of bytes as they are (RFC 1951, 3.2.4). */
static int copy_block(Lane *s)
{
    const uint8_t *from = unused(s);
    if (s->in_end - from < 4) return 0;
    const int64_t n = from[0] | from[1] << 8;
    if ((from[2] | from[3] << 8) != (n ^ 0xFFFF) || n > s->in_end - from - 4 || n > s->out_end - s->out) return 0;
    memcpy(s->out, from + 4, n);
    s->out += n, s->in = from + 4 + n, s->bits = 0, s->have = 0;
    return 1;
}

/* What becomes of a stream by its next block. */
static int begin_block(Lane *s, Tables *t)
{
    if (!has_room(s)) return REFUSED;
    refill(s);
    s->last = (int)take(s, 1);
    const uint32_t kind = take(s, 2);
    if (kind == 0) return copy_block(s) ? ENDED : REFUSED;
    return (kind == 1 && fixed_codes(t)) || (kind == 2 && own_codes(s, t)) ? AT_WORK : REFUSED;
}

/* May write up to 31 bytes more. */
INLINE void repeat(uint8_t *to, uint32_t distance, uint32_t length)
{
    const uint8_t *from = to - distance, *end = to + length;
    if (distance >= 32)
        do memcpy(to, from, 16), memcpy(to + 16, from + 16, 16), to += 32, from += 32;
        while (to < end);
    else if (distance >= 16)
        do memcpy(to, from, 16), to += 16, from += 16;
        while (to < end);
    else if (distance >= 8)
        do memcpy(to, from, 8), to += 8, from += 8;
        while (to < end);
    else if (distance == 1) memset(to, *from, length);
    else {
        const uint32_t step = 8 - 8 % distance; /* whole periods */
        uint64_t word;
        for (int i = 0; i < 8; i++) to[i] = from[i];
        memcpy(&word, to, 8);
        for (to += step; to < end; to += step) memcpy(to, &word, 8);
    }
}

/* Some literals, or a match. */
INLINE void step(Lane *s, const Tables *t)
{
    if (SELDOM(!has_room(s))) {
        s->state = REFUSED;
        return;
    }
    refill(s);
    uint32_t entry = t->symbols[peek(s, SYMBOL_BITS)];
    if (entry & LITERAL) {
        literal(s, entry);
        if ((entry = t->symbols[peek(s, SYMBOL_BITS)]) & LITERAL) {
            literal(s, entry);
            if ((entry = t->symbols[peek(s, SYMBOL_BITS)]) & LITERAL) {
                literal(s, entry);
                if ((entry = t->symbols[peek(s, SYMBOL_BITS)]) & LITERAL) {
                    literal(s, entry);
                    return;
                }
            }
        }
        refill(s);
    }
    if (SELDOM(!(entry & 255))) {
        entry = entry ? t->symbols[(entry >> 16) + (peek(s, LONGEST) >> SYMBOL_BITS)] : 0;
        if (entry & LITERAL) {
            literal(s, entry);
            return;
        }
    }
    if (SELDOM(!(entry >> 16))) {
        use(s, entry);
        s->state = entry ? ENDED : REFUSED;
        return;
    }
    const uint32_t length = value(s, entry);
    entry = t->distances[peek(s, DISTANCE_BITS)];
    if (SELDOM(!(entry & 255))) entry = entry ? t->distances[(entry >> 16) + (peek(s, LONGEST) >> DISTANCE_BITS)] : 0;
    const uint32_t distance = value(s, entry);
    if (SELDOM(!entry || distance > s->out - s->out_begin)) {
        s->state = REFUSED;
        return;
    }
    repeat(s->out, distance, length);
    s->out += length;
}

/* After a block: the next one, or the end of the stream. */
static void next_block(Lane *s, Tables *t)
{
    while (s->state == ENDED && !s->last) s->state = begin_block(s, t);
}

/* Both lanes, until one of them is at the end of a block. */
INLINE void run_both(Pair *pair)
{
    Lane a = pair->lane[0], b = pair->lane[1]; /* in registers */
    while (a.state == AT_WORK && b.state == AT_WORK) {
        step(&a, pair->tables);
        step(&b, pair->tables + 1);
    }
    pair->lane[0] = a, pair->lane[1] = b;
}

INLINE void run_one(Lane *lane, const Tables *t)
{
    Lane a = *lane;
    while (a.state == AT_WORK) step(&a, t);
    *lane = a;
}

FAST("bmi2") /* shifts by any register */
int pair_run(Pair *pair)
{
    Lane *a = pair->lane, *b = pair->lane + 1;
    if (a->state == IDLE && b->state == IDLE) return 0;
    while (a->state < ENDED && b->state < ENDED) {
        if (a->state == b->state) run_both(pair);
        else if (a->state == AT_WORK) run_one(a, pair->tables);
        else run_one(b, pair->tables + 1);
        next_block(a, pair->tables), next_block(b, pair->tables + 1);
    }
    return 1;
}

Pair *pair_new(void) { return calloc(1, sizeof(Pair)); }

void pair_begin(Pair *pair, int lane, const uint8_t *stored, int64_t count, uint8_t *out, int64_t size)
{
    Lane *s = pair->lane + lane;
    const int plain = count > 6 && (stored[0] & 15) == 8 && stored[0] >> 4 < 8 && !(stored[1] & 32)
        && (stored[0] << 8 | stored[1]) % 31 == 0;
    *s = (Lane){0, 0, stored + 2, stored + count, out, out + size, out, 0, plain ? ENDED : REFUSED};
    next_block(s, pair->tables + lane);
}

int pair_take(Pair *pair, int lane, uint32_t *checksum)
{
    Lane *s = pair->lane + lane;
    int state = s->state;
    if (state <= AT_WORK) return state;
    const uint8_t *c = unused(s);
    if (state == ENDED && (s->out != s->out_end || s->in_end - c < 4)) state = REFUSED;
    if (state == ENDED) *checksum = (uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3];
    s->state = IDLE;
    return state;
}

/* The base of Adler-32 (RFC 1950); columns of bytes, and rows of them whose sums of sums fit 16 bits. */
enum { BASE = 65521, ACROSS = 32, DOWN = 23 };

/* A byte counts as often in the upper sum as there are bytes from it to the end: `ACROSS` times for each row below its
 * own, and once for each byte of its own row from it on. */
FAST("avx2")
uint32_t adler32_of(const uint8_t *bytes, int64_t count)
{
    uint32_t low = 1, high = 0;
    while (count >= ACROSS) {
        const int64_t down = count < DOWN * ACROSS ? count / ACROSS : DOWN;
        uint16_t once[ACROSS] = {0}, above[ACROSS] = {0}; /* of each column: its bytes, and those by the rows below */
        for (int64_t row = 0; row < down; row++, bytes += ACROSS)
            for (int i = 0; i < ACROSS; i++) above[i] += once[i], once[i] += bytes[i];
        uint32_t sum = 0, rows = 0, columns = 0;
        for (int i = 0; i < ACROSS; i++) sum += once[i], rows += above[i], columns += (uint32_t)(ACROSS - i) * once[i];
        high = (high + (uint32_t)down * ACROSS * low + ACROSS * rows + columns) % BASE, low = (low + sum) % BASE;
        count -= down * ACROSS;
    }
    for (; count; count--) low += *bytes++, high += low;
    return high % BASE << 16 | low % BASE;
}
