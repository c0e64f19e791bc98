"""Files that others make or read: topologies and traffic matrices."""

from headers.errors import FileError
from headers.files.matrices import TrafficMatrices, load_matrices, save_matrices
from headers.files.topology import Link, Node, Topology, load_topology, save_topology

__all__ = [
    "FileError",
    "Link",
    "Node",
    "Topology",
    "TrafficMatrices",
    "load_matrices",
    "load_topology",
    "save_matrices",
    "save_topology",
]
