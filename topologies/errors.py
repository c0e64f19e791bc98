"""The errors of topologies and the lab."""


class TopologyError(ValueError):
    """A topology, matrix or scale that no network can be made of."""


class LabError(Exception):
    """The emulated network or a process of it does not come up; the sentence says what to do."""
