"""The errors of thresholds and detection: each names what was wrong and what to do about it."""


class DetectError(ValueError):
    """A question that cannot be answered: shapes that do not fit, or a file that cannot be read."""
