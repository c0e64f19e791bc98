"""Benchmarks: each prints medians, and a ratio to a simpler peer measured in the same run."""
