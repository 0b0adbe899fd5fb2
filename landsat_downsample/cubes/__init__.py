"""Many products as one: which lie on one grid, what they hold, and their cells in time."""
