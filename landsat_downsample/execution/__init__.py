"""Where and in what order bands are reduced: threads, dask, Kubernetes."""
