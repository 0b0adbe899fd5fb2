"""Pixels to cells: NumPy in, NumPy out, and the C kernel beside it."""
