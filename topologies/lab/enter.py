"""The first process in our namespaces: ``python -m topologies.lab.enter DIRECTORIES MODULE …``.

It makes the namespaces our own and then becomes the module. It stays free of large imports, since
a mount namespace is entered by single-threaded processes only and NumPy brings threads.
"""

import os
import sys
from pathlib import Path

from topologies.errors import LabError
from topologies.lab.namespaces import make_private


def main() -> None:
    """Prepare, then be what was asked for."""
    directories, module, *arguments = sys.argv[1:]
    try:
        make_private([Path(path) for path in directories.split(os.pathsep) if path])
    except LabError as error:
        sys.exit(f"error: {error}")
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


if __name__ == "__main__":
    main()
