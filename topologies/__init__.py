"""Networks to run on: Mininet topologies, their traffic, and the demo's lab."""
