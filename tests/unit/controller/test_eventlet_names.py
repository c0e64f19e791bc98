"""The southbound's eventlet leaves name resolution, and dnspython, as they are."""

import subprocess
import sys

PROGRAM = (
    "import controller.southbound.switch, dns.resolver, sys, threading;"
    " print('eventlet.support.greendns' in sys.modules, dns.resolver.threading is threading)"
)


def test_no_second_copy_of_dnspython_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
