"""Many scenes: lists of them, searches for them, and what a run of them leaves on record."""

from __future__ import annotations
