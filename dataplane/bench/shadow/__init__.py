"""The benchmark of replication: bytes, lag, the highest rate, and a large snapshot."""
