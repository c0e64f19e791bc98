"""What a scored run leaves: report.json and report.html."""

import json
from pathlib import Path

from controller.report.html import page
from controller.report.score import Score


def write_reports(score: Score, directory: Path) -> tuple[Path, Path]:
    """Write report.json and report.html into a directory that is there; return their paths.

    Raises:
        OSError: they cannot be written.
    """
    as_json, as_html = directory / "report.json", directory / "report.html"
    as_json.write_text(json.dumps(score.to_dict(), indent=2, allow_nan=False) + "\n")
    as_html.write_text(page(score), encoding="utf-8")
    return as_json, as_html
