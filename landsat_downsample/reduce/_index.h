/* Indices of pixels, and sums of whole numbers of 32 bits: _index.c. */
#ifndef LANDSAT_DOWNSAMPLE_INDEX_H
#define LANDSAT_DOWNSAMPLE_INDEX_H

#define Py_LIMITED_API 0x030b0000
#include <Python.h>

PyObject *index_pixels(PyObject *module, PyObject *args);
PyObject *whole_sums(PyObject *module, PyObject *args);

#endif
