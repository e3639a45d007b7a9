"""The settings of the processes that tests start: the databases are the test's."""

import json
import os

SECRET_KEY = "for tests only"
USE_TZ = True
INSTALLED_APPS = ["shoal", *json.loads(os.environ["TEST_APPS"])]
DATABASES = {"default": {}, **json.loads(os.environ["TEST_DATABASES"])}
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = json.loads(os.environ["TEST_SHOAL"])
