"""The twin: each eBPF program once more, in Python, to be read as its specification.

Same packet, same tables: same verdict, same bytes, same counters. What the programs cache is left
out on purpose, for a cache must not be seen. Fuzzing holds the two together (tests/fuzz).
"""

from dataplane.twin.machine import Machine, Outcome
from dataplane.twin.tables import Tables

__all__ = ["Machine", "Outcome", "Tables"]
