"""What processes write into their logs: lines for people, or JSON lines for machines.

A line that is about a decision says ``decision=TERM.GENERATION`` in its words: the same in brain,
southbound and agents, so that one search finds what a decision did everywhere.
"""

import json
import logging
import os
import re
import time

FORMAT = "FORESTEER_LOG_FORMAT"
"""The environment's ``text`` or ``json``, for processes that read no configuration."""

TEXT, JSON = "text", "json"
_LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"
_DECISION = re.compile(r"\bdecision=(\d+\.\d+)\b")


def decision_id(term: int, generation: int) -> str:
    """Return how a decision is called in logs."""
    return f"decision={term}.{generation}"


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, and what else is known.

    ``decision`` where the message names one, ``exception`` where there was one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line."""
        message = record.getMessage()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": message,
        }
        found = _DECISION.search(message)
        if found:
            line["decision"] = found[1]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def formatter(kind: str) -> logging.Formatter:
    """Return what writes lines of a kind; times are UTC."""
    if kind == JSON:
        return JsonLines()
    made = logging.Formatter(_LINE)
    made.converter = time.gmtime
    return made


def set_up(kind: str = "") -> None:
    """Log to standard error from INFO on: as asked for, else as the environment says, else text.

    What has handlers already (ryu-manager) keeps them and its levels, and gets the format where
    that is JSON.
    """
    kind = kind or os.environ.get(FORMAT, TEXT)
    root = logging.getLogger()
    if not root.handlers:
        logging.basicConfig(level=logging.INFO)
    elif kind != JSON:
        return
    for handler in root.handlers:
        handler.setFormatter(formatter(kind))
