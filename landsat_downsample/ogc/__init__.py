"""A client of OGC API - Processes."""
