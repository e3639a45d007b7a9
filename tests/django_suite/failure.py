"""Takes what stops a run of Django's tests, gives the text that a person reads."""


class SuiteError(Exception):
    """The run cannot go on: the fact, and the way out."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(f"{message}\nHint: {hint}")
