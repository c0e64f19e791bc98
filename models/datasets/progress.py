"""How far a long job is: a bar on a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import click

STEPS = 10


class _Lines:
    """A line at every tenth, for logs."""

    def __init__(self, label: str, length: int) -> None:
        self._label, self._length = label, max(length, 1)
        self._done = self._said = 0

    def __call__(self, more: int) -> None:
        self._done = min(self._done + more, self._length)
        tenth = self._done * STEPS // self._length
        if tenth > self._said:
            self._said = tenth
            click.echo(f"{self._label}: {tenth * 100 // STEPS} %", err=True)


@contextmanager
def meter(label: str, length: int) -> Iterator[Callable[[int], object]]:
    """Show progress on standard error; what is yielded takes by how much the job went on."""
    if not sys.stderr.isatty():
        yield _Lines(label, length)
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


class Download:
    """Progress of a download, whose length is known only once the server has answered."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._open = ExitStack()
        self._advance: Callable[[int], object] | None = None
        self._done = 0

    def __call__(self, done: int, total: int | None) -> None:
        """Say how many bytes there are, and how many there will be where known."""
        if self._advance is None or done < self._done:
            self.close()
            self._advance = self._open.enter_context(meter(self._label, total or 1))
            self._done = 0
        self._advance(done - self._done)
        self._done = done

    def close(self) -> None:
        """End the line of the bar."""
        self._open.close()
        self._advance = None
