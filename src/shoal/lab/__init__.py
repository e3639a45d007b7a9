"""
Takes clusters, gives real servers of them: for a demo, tests and benchmarks.
"""

from shoal.errors import LabError
from shoal.lab.binaries import mariadb_available
from shoal.lab.fixtures import lab_fixture
from shoal.lab.lab import Lab
from shoal.lab.plan import MariaDB, Postgres
from shoal.lab.server import LabServer

__all__ = [
    "Lab",
    "LabError",
    "LabServer",
    "MariaDB",
    "Postgres",
    "lab_fixture",
    "mariadb_available",
]
