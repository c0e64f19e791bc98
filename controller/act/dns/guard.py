"""Withdraws names when the brain died: ``python guard.py FILE LOSS_S``, a child of the brain.

It waits on its input, which ends with the brain however that ends. A word on it means that the
brain left in order and needs no guard. FILE holds the guard's own number: a guard of the next brain
puts its own there, and the older one leaves things alone.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from pathlib import Path

LOG = logging.getLogger("foresteer.dns.guard")
LOOK_S = 0.1


def mine(file: Path) -> bool:
    """Return whether no other guard has taken over."""
    with contextlib.suppress(OSError):
        return file.read_text() == str(os.getpid())
    return False


def main() -> None:
    """Wait for the brain to end, and withdraw unless another one came."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    file, loss_s, config = Path(sys.argv[1]), float(sys.argv[2]), sys.stdin.readline()
    file.write_text(str(os.getpid()))
    if sys.stdin.read():
        return
    lost_s = time.monotonic()
    while time.monotonic() - lost_s < loss_s:
        if not mine(file):
            return
        time.sleep(LOOK_S)
    # imported only now: until then this is a small process
    from controller.config_outside import Dns
    from controller.outside import withdraw_names

    asyncio.run(withdraw_names(Dns.model_validate_json(config)))
    LOG.warning("the brain is gone: names are withdrawn")


if __name__ == "__main__":
    main()
