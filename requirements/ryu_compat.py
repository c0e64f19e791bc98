"""Lets Ryu 4.34 import on today's eventlet: ``./run setup`` copies this into the environment.

Ryu's web module asks eventlet.wsgi for ALREADY_HANDLED, which eventlet no longer has. A ``.pth``
file imports this at every start of the interpreter, so it imports nothing and only waits.

Where dnspython is installed, eventlet also loads a second, green copy of it and resolves names by
that. Our switches have addresses, and the copy's locks have been met outside of greenlets: it is
left out.
"""

import os
import sys

os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")


class _Finder:
    """Adds the name right after eventlet.wsgi has been loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # noqa: ARG004
        if name != "eventlet.wsgi":
            return None
        sys.meta_path.remove(_Finder)
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            if not hasattr(module, "ALREADY_HANDLED"):
                module.ALREADY_HANDLED = None

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Finder)
