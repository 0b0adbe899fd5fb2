"""The checks of `doctor`, each with a line of its own."""
