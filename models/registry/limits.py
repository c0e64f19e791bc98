"""Keeping a retraining out of everyone's way: last in the queue, and with an end."""

import contextlib
import os
import resource
import signal
import sys

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""What NumPy's libraries read when they are loaded."""

_NICEST = 19


def one_thread() -> None:
    """Begin the whole command again where NumPy was loaded with several threads.

    At the lowest priority they mostly wait for each other, and burn the processor doing so.
    """
    if not ONE_THREAD.keys() <= os.environ.keys():
        os.execve(
            sys.executable, [sys.executable, *sys.orig_argv[1:]], {**ONE_THREAD, **os.environ}
        )


def be_modest() -> None:
    """Give this process the lowest priority that the system allows; what it refuses is left."""
    with contextlib.suppress(OSError):
        os.nice(_NICEST)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def limit(seconds: int, memory_mib: int) -> None:
    """End this process after so many seconds, and refuse it more memory than that.

    ``memory_mib`` limits the address space, of which some 700 MiB are mapped but never used. The
    alarm's default action ends the process, whatever it is doing; files are written whole or not
    at all, so that is safe at any moment.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    size = memory_mib * 1024 * 1024
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def peak_mib() -> int:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
