"""The settings of a process of its own."""

import json
import os

SECRET_KEY = "for tests only"
USE_TZ = True
INSTALLED_APPS = ["shoal", "tests.integration.sagas.shop"]
DATABASES = json.loads(os.environ["DATABASES"])
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = {"CLUSTERS": {alias: {"APPS": []} for alias in DATABASES if alias != "default"}}
