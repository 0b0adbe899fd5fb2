"""One module a verb, or a few of a kind."""
