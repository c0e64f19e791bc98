"""The global traffic observer: from counters and events to numbered Snapshots."""

from controller.observe.collector import Agent, Collector
from controller.observe.demands import DemandMeter

__all__ = ["Agent", "Collector", "DemandMeter"]
