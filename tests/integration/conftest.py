"""The shop on each kind of server, for whichever tests ask for it: once in a run."""

from collections.abc import Iterator

import pytest

from tests.patience import be_patient
from tests.sharded.fixtures import *  # noqa: F403


@pytest.fixture(autouse=True)
def patient_routing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let routing be patient, but for tests with a budget of time: they run alone."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("alone") is None:
            be_patient(patch)
        yield
