"""Takes words of a command line, gives aliases and seconds, or a usage error."""

import argparse
from collections.abc import Sequence

from django.core.management.base import CommandError
from django.db import connections

from shoal.conf import is_configured
from shoal.errors import did_you_mean
from shoal.types import Alias

LONGEST = 3600.0
"""Seconds that an option takes at most."""


def configured() -> list[Alias]:
    """Return every alias that is not empty."""
    return [alias for alias, db in connections.settings.items() if is_configured(db)]


def existing_alias(word: str) -> Alias:
    """Check an alias that was typed."""
    if word not in configured():
        what = "is empty in DATABASES" if word in connections else "is not in DATABASES"
        raise argparse.ArgumentTypeError(
            f"the alias {word!r} {what}. {did_you_mean(word, configured())}"
        )
    return word


def aliases(given: str | Sequence[Alias]) -> list[Alias]:
    """Check what `call_command` was given, which argparse does not see."""
    names = [given] if isinstance(given, str) else list(dict.fromkeys(given))
    for name in names:
        try:
            existing_alias(name)
        except argparse.ArgumentTypeError as error:
            raise CommandError(str(error), returncode=2) from None
    return names


def wrong_seconds(
    option: str, given: float, *, shortest: float, unit: str = "seconds"
) -> str | None:
    """Return what is wrong with a time that was given; NaN is out of all bounds."""
    if shortest <= given <= LONGEST:
        return None
    return f"{option} takes {unit}, from {shortest:g} to {LONGEST:g}"
