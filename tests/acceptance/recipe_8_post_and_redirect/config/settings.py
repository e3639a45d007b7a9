"""Reviews and accounts, each on a primary with a replica that may be far behind."""

import os
from pathlib import Path

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "config.urls"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/reviews/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Quick, and not for a site that anybody can reach.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "shoal",
    "reviews",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
# Anywhere: inside of all the others, or around them.
if os.environ.get("ROUTING") == "first":
    MIDDLEWARE = ["shoal.routing.Middleware", *MIDDLEWARE]
else:
    MIDDLEWARE = [*MIDDLEWARE, "shoal.routing.Middleware"]
# Messages are shown after a redirect, too.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).resolve().parent.parent / "templates"],
    }
]


# Databases


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


DATABASES = {
    "default": {},
    "accounts": database("ACCOUNTS_DB"),
    "accounts_replica": database("ACCOUNTS_REPLICA_DB"),
    "reviews": database("REVIEWS_DB"),
    "reviews_replica": database("REVIEWS_REPLICA_DB"),
}
DATABASE_ROUTERS = ["shoal.routing.Router"]
MAX_LAG = float(os.environ.get("MAX_LAG", "30"))
SHOAL = {
    "CLUSTERS": {
        "accounts": {
            "APPS": ["auth", "contenttypes", "sessions"],
            "REPLICAS": ["accounts_replica"],
            "MAX_LAG": MAX_LAG,
        },
        "reviews": {
            "APPS": ["reviews"],
            "REPLICAS": ["reviews_replica"],
            "MAX_LAG": MAX_LAG,
        },
    },
}
