"""One band: pixels, reduced cells, COG bytes."""
