"""
The settings of a worker of its own: those of the tests, with their databases.

Its processes look at the servers when replicas stand still already, and then cannot
tell for how long: they take them as they are.
"""

import json
import os

from tests.settings import *  # noqa: F403

INSTALLED_APPS += ["shoal.contrib.celery"]  # noqa: F405
SHOAL["CLUSTERS"]["catalog"]["MAX_LAG"] = 3600  # type: ignore[index]  # noqa: F405
DATABASES = json.loads(os.environ["DATABASES"])
