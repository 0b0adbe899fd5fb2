"""Bytes: fetched, proven, published."""
