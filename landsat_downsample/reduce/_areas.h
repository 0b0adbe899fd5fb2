/* How pixels share their area among cells of another projection: what the module's table and the decoder call. */
#ifndef LANDSAT_DOWNSAMPLE_AREAS_H
#define LANDSAT_DOWNSAMPLE_AREAS_H

PyObject *share_areas(PyObject *self, PyObject *args);
PyObject *count_shares(PyObject *self, PyObject *args);
PyObject *list_shares(PyObject *self, PyObject *args);
PyObject *sum_shares(PyObject *self, PyObject *args);
PyObject *sum_whole_shares(PyObject *self, PyObject *args);
PyObject *pair_shares(PyObject *self, PyObject *args);

/* Sums of cells, tile by tile of 256 columns. */
typedef struct TileSums TileSums;

/* Of buffers (words, begins, totals, weights, squares, least, most), as of `sum_shares`, and of numbers (rows, columns, cells,
 * cells of a row, flip, nodata). NULL where they do not fit, or without memory; `free` gives it back. */
TileSums *tile_sums_new(const Py_buffer *b, const long long *facts);

/* Add the pixels of a tile, in rows of `stride`; 0 where its words make no sense. */
int tile_sums_add(const TileSums *sums, int64_t tile, const uint16_t *pixels, int64_t stride);

#endif
