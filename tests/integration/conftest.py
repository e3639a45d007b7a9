"""The shop on each kind of server, for whichever tests ask for it: once in a run."""

from tests.sharded.fixtures import *  # noqa: F403
