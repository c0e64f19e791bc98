"""What is wrong, or will be: crossings of thresholds, and anomalies as they happen.

What others use::

    threshold_high(quantiles, horizons_s, thresholds) -> Crossings     # threshold_low likewise
        # quantiles [S, H, Q]; probability at and by each horizon, expected time, severity

    detector = Detector(series, step_s=300.0, budget=2.5)  # false alarms per series and 1,000 rows
    detector.update(values, forecast=None, at_s=None) -> Alarms
        # values [S], forecast [S, Q]; score, alarm, kind, severity per series; one call per row

    severity(probability, extent)      # the scale from 0 (none) to 5 (certain and extreme)
    detect_file(source, out, budget)   # a CSV file's scores, row by row

Errors: DetectError (shapes that do not fit, a file that cannot be read). Values may be anything.
"""

from models.anomaly.csvfile import Counts, detect_file
from models.anomaly.detector import ALARM_SCORE, BUDGET, KINDS, Alarms, Detector
from models.anomaly.errors import DetectError
from models.anomaly.severity import SEVERITY_MAX, severity
from models.anomaly.thresholds import Crossings, threshold_high, threshold_low

__all__ = [
    "ALARM_SCORE",
    "BUDGET",
    "KINDS",
    "SEVERITY_MAX",
    "Alarms",
    "Counts",
    "Crossings",
    "DetectError",
    "Detector",
    "detect_file",
    "severity",
    "threshold_high",
    "threshold_low",
]
