"""Each test says in the environment which databases and clusters there are."""

import json
import os

SECRET_KEY = "for tests only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "shoal",
    "library",
    "press",
    *os.environ.get("TEST_APPS", "").split(),
]
MIDDLEWARE = ["shoal.routing.Middleware"]
DATABASES = json.loads(os.environ["TEST_DATABASES"])
SHOAL = json.loads(os.environ["TEST_SHOAL"])
DATABASE_ROUTERS = ["shoal.routing.Router"]
