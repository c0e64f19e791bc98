"""Scoring a run: one fluid model for all methods, and reports that a stranger can read."""

from controller.report.collect import collect
from controller.report.files import write_reports
from controller.report.optimum import optimal_utilisation
from controller.report.run import Fan, Note, Run, Splits, splits_of
from controller.report.run_files import load_run, save_run
from controller.report.score import Method, Score, score_run
from controller.report.table import print_table

__all__ = [
    "Fan",
    "Method",
    "Note",
    "Run",
    "Score",
    "Splits",
    "collect",
    "load_run",
    "optimal_utilisation",
    "print_table",
    "save_run",
    "score_run",
    "splits_of",
    "write_reports",
]
