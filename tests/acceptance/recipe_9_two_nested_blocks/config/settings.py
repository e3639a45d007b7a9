"""A shop whose orders and stock are in two databases."""

import os

SECRET_KEY = os.environ["SECRET_KEY"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["shoal", "shop"]


def database(name):
    """Describe a database; the environment says where it is and who may log in."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ[f"{name}_NAME"],
        "USER": os.environ[f"{name}_USER"],
        "PASSWORD": os.environ[f"{name}_PASSWORD"],
        "HOST": os.environ[f"{name}_HOST"],
        "PORT": os.environ[f"{name}_PORT"],
    }


DATABASES = {"default": database("ORDERS_DB"), "stock": database("STOCK_DB")}
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = {
    "CLUSTERS": {
        "default": {},
        "stock": {"MODELS": ["shop.Stock"]},
    },
}
MIDDLEWARE = ["shoal.routing.Middleware"]
