"""What the work costs, beside the floor and beside others: ``python -m benchmarks``."""
