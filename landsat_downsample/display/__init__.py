"""What a run shows on a terminal, in a log, on stdout."""
