"""Takes what stopped the setup, gives the text that a person reads."""

import os


class SetupError(Exception):
    """The setup cannot go on: what happened, and the way out."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(f"{message}\nHint: {hint}")


class LeftOut(Exception):
    """A part that this machine may do without is missing, in one line."""


def nothing_may_be_left_out() -> bool:
    """Return whether this is a run that must be complete."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}
