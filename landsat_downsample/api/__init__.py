"""What a notebook imports: lazy arrays, the verbs, plots."""
