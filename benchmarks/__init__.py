"""How fast the service is, as ratios to bare routes measured in the same run: `python -m benchmarks`."""
