"""The settings of a worker of its own."""

import json
import os

from tests.integration.outbox.places import SHOAL  # noqa: F401

SECRET_KEY = "for tests only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["shoal", "tests.integration.outbox.post"]
DATABASE_ROUTERS = ["shoal.routing.Router"]
DATABASES = {"default": {}, **json.loads(os.environ["DATABASES"])}
