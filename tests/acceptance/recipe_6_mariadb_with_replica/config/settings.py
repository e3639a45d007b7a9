"""Everything on MariaDB: a primary, and a replica that follows its GTIDs."""

import os

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "config.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = ["shoal", "stock"]
MIDDLEWARE = ["shoal.routing.Middleware"]


# Databases


def database(name):
    """Describe a database; the environment says where it is and who may log in."""
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": os.environ[f"{name}_NAME"],
        "USER": os.environ[f"{name}_USER"],
        "PASSWORD": os.environ[f"{name}_PASSWORD"],
        "HOST": os.environ[f"{name}_HOST"],
        "PORT": os.environ[f"{name}_PORT"],
        "OPTIONS": {"charset": "utf8mb4"},
    }


DATABASES = {
    "default": database("STOCK_DB"),
    # Follows `default`, so it has its name and takes no writes.
    "replica": database("STOCK_REPLICA_DB"),
}
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = {"CLUSTERS": {"default": {"REPLICAS": ["replica"]}}}
