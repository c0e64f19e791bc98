"""The errors of deciding."""


class DecideError(Exception):
    """A plan cannot be made of what was given; the sentence says what is wrong with it."""


class SolveError(DecideError):
    """The solver found no usable answer; ``status`` is what it said of itself."""

    def __init__(self, status: str, iterations: int = 0) -> None:
        super().__init__(f"the solver found no answer: {status}")
        self.status = status
        self.iterations = iterations
