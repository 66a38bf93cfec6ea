"""What speed costs here, as ratios to something run beside it. `python -m benchmarks --help` says how to run it."""
