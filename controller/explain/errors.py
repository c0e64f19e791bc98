"""The errors of explaining."""


class ExplainError(Exception):
    """What was asked about is not there; the sentence says what is."""
