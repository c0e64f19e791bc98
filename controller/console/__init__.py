"""The commands that speak to a running brain: what operators look at and change."""
