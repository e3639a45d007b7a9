"""Three clusters of a primary and a replica: two on PostgreSQL, one on MariaDB."""

import os

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "config.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = ["shoal", "catalog", "metrics", "orders"]
MIDDLEWARE = ["shoal.routing.Middleware"]


# Databases


def database(engine, name):
    """Describe a database; the environment says where it is and who may log in."""
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": os.environ[f"{name}_NAME"],
        "USER": os.environ[f"{name}_USER"],
        "PASSWORD": os.environ[f"{name}_PASSWORD"],
        "HOST": os.environ[f"{name}_HOST"],
        "PORT": os.environ[f"{name}_PORT"],
    }


DATABASES = {
    "default": {},
    "catalog": database("postgresql", "CATALOG_DB"),
    "catalog_replica": database("postgresql", "CATALOG_REPLICA_DB"),
    "orders": database("postgresql", "ORDERS_DB"),
    "orders_replica": database("postgresql", "ORDERS_REPLICA_DB"),
    "metrics": database("mysql", "METRICS_DB"),
    "metrics_replica": database("mysql", "METRICS_REPLICA_DB"),
}
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = {
    "CLUSTERS": {
        "catalog": {"APPS": ["catalog"], "REPLICAS": ["catalog_replica"]},
        "orders": {"APPS": ["orders"], "REPLICAS": ["orders_replica"]},
        "metrics": {"APPS": ["metrics"], "REPLICAS": ["metrics_replica"]},
    },
}
