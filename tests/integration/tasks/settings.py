"""The settings of a worker of its own: those of the tests, with their databases."""

import json
import os

from tests.settings import *  # noqa: F403

INSTALLED_APPS += ["shoal.contrib.celery"]  # noqa: F405
DATABASES = json.loads(os.environ["DATABASES"])
