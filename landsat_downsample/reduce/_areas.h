/* The functions of _areas.c, for the module's table. */
#ifndef LANDSAT_DOWNSAMPLE_AREAS_H
#define LANDSAT_DOWNSAMPLE_AREAS_H

PyObject *share_areas(PyObject *self, PyObject *args);
PyObject *count_shares(PyObject *self, PyObject *args);
PyObject *list_shares(PyObject *self, PyObject *args);
PyObject *sum_shares(PyObject *self, PyObject *args);
PyObject *pair_shares(PyObject *self, PyObject *args);

#endif
