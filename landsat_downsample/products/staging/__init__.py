"""Scenes brought in and products taken out, whole or not at all."""
