"""What helps others to help: a bundle of all that is needed to understand a Foresteer from afar."""

from controller.support.bundle import write_bundle
from controller.support.removing import Remover

__all__ = ["Remover", "write_bundle"]
