"""Files that others make or read: topologies, traffic matrices and rates."""

from headers.errors import FileError
from headers.files.matrices import TrafficMatrices, load_matrices, save_matrices
from headers.files.rates import RateSeries, load_rates, save_rates
from headers.files.topology import Link, Node, Topology, load_topology, save_topology

__all__ = [
    "FileError",
    "Link",
    "Node",
    "RateSeries",
    "Topology",
    "TrafficMatrices",
    "load_matrices",
    "load_rates",
    "load_topology",
    "save_matrices",
    "save_rates",
    "save_topology",
]
