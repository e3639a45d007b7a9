"""The pages that start a lab do what they say, from the first server to the last."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.docs.pages import DOCS
from tests.integration.docs.walking import Walk


@pytest.fixture
def labs() -> Iterator[Path]:
    """A place for the labs of the command line, apart from those of a person."""
    # Short, for the sockets in it; open, for the account that the servers run as.
    place = Path(tempfile.mkdtemp(prefix="shoal-docs-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        "tutorial/from-one-database-to-three",
        "tutorial/from-one-database-to-four-shards",
        "how-to/use-the-lab",
    ],
)
def test_page(page: str, labs: Path, tmp_path: Path) -> None:
    reader = Walk(DOCS / f"{page}.md", tmp_path, {"TMPDIR": str(labs)})
    try:
        reader.go()
    finally:
        reader.run("python -m shoal.lab down")
    assert not list(labs.glob("shoal-lab-*"))
