"""
Takes clusters, gives a pytest fixture that yields their lab.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from shoal.lab.lab import Lab
from shoal.lab.plan import Cluster

Scope = Literal["session", "package", "module", "class", "function"]


def lab_fixture(
    *clusters: Cluster, scope: Scope = "session", pg_bin: str | Path | None = None
) -> Any:
    """
    Return a fixture to be bound to a name in a test module or a conftest.

    The value of the fixture is the `Lab`, up as long as the scope lasts.
    """
    import pytest  # Only tests have it.

    lab = Lab(*clusters, pg_bin=pg_bin)

    @pytest.fixture(scope=scope)
    def running_lab() -> Iterator[Lab]:
        with lab:
            yield lab

    return running_lab
