"""Many scenes: lists, searches, the record of a run and its report."""
