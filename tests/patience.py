"""
Takes the times of routing, gives them patience: a busy machine is no silent server.

Where nothing runs for a second, replicas are left out, and the primary answers. Who
asserts what a replica serves means replicas that are well.
"""

import pytest

from shoal.routing import retrying, tokens
from shoal.routing.health import asking, watch

PATIENCE = 30
"""Seconds."""


def be_patient(patch: pytest.MonkeyPatch) -> None:
    """Wait so long for an answer before anything is concluded."""
    for module, names in (
        (watch, ("SILENT_AFTER", "ANSWER_WITHIN", "LEND_FOR")),
        (tokens, ("MEET_WITHIN", "ASK_WITHIN")),
        (retrying, ("LOOK_WITHIN",)),
    ):
        for name in names:
            patch.setattr(module, name, PATIENCE)
    for limits in asking._LIMITS.values():
        patch.setitem(limits, "connect_timeout", PATIENCE)
