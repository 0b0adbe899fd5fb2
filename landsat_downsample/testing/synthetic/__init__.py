"""Synthetic scenes, as USGS lays them out."""
