"""Takes the servers' addresses from REVIEWS_DATABASES, gives Django's settings.

REVIEWS_DATABASES is a JSON object, alias to entry of DATABASES, as printed by
`python -m shoal.lab up --json` and as set by demo.py. Without it, three databases
of these names on this machine's own PostgreSQL are meant.
"""

import json
import os
from pathlib import Path
from typing import Any

from django.core.management.utils import get_random_secret_key

HERE = Path(__file__).resolve().parent

# name of the alias -> name of its database
ALIASES = {
    "products": "products",
    "products_r1": "products",
    "products_r2": "products",
    "reviews_0": "reviews_0",
    "reviews_1": "reviews_1",
    "reviews_2": "reviews_2",
    "reviews_3": "reviews_3",
    "accounts": "accounts",
}
SHARDS = [alias for alias in ALIASES if alias.startswith("reviews_")]


def read_databases(text: str) -> dict[str, dict[str, Any]]:
    """
    A dead server is noticed after three seconds, a restarted one at once.

    Nobody waits longer for a row, either: it may belong to a unit of work that is in
    doubt, and stay locked until `manage.py shoal recover`.
    """
    entries = json.loads(text) if text else {}
    entries = entries or {
        alias: {"ENGINE": "django.db.backends.postgresql", "NAME": name}
        for alias, name in ALIASES.items()
    }
    for entry in entries.values():
        entry["CONN_MAX_AGE"] = 60
        entry["CONN_HEALTH_CHECKS"] = True
        entry["OPTIONS"] = {
            "connect_timeout": 3,
            "options": "-c lock_timeout=3s",
            **entry.get("OPTIONS", {}),
        }
    return entries


SECRET_KEY = os.environ.get("REVIEWS_SECRET_KEY") or get_random_secret_key()
DEBUG = os.environ.get("REVIEWS_DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

# Three clusters and no default: each app says where it lives, nothing is left over.
DATABASES = {
    "default": {},
    # Stands for the four shards of the reviews. It has no server of its own.
    "reviews": {"ENGINE": "shoal.backends.sharded"},
    **read_databases(os.environ.get("REVIEWS_DATABASES", "")),
}
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = {
    "CLUSTERS": {
        "accounts": {
            "APPS": ["auth", "contenttypes", "sessions", "admin", "accounts"],
        },
        "products": {
            "APPS": ["products"],
            "REPLICAS": ["products_r1", "products_r2"],
        },
        "reviews": {"APPS": ["reviews"], "SHARDS": SHARDS},
    },
    # Says which shard has which reviews, and which ids come next. Nobody can write a
    # review without an account, so it costs nothing that this server has to be up.
    "CONTROL": "accounts",
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "shoal",
    "accounts",
    "products",
    "reviews",
    "crashing",
    "reviewsite",
]
MIDDLEWARE = [
    # Outermost, so that the queries of the session are seen too.
    "reviewsite.queries.QueryPanel",
    "shoal.routing.Middleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "reviewsite.urls"
WSGI_APPLICATION = "reviewsite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the apps' own, so that the admin's pages carry the panel too.
        "DIRS": [HERE / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "account"
LOGOUT_REDIRECT_URL = "home"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"

# What goes wrong is told where the server runs, also without DEBUG.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "errors": {"class": "logging.StreamHandler", "level": "ERROR"},
        "panel": {"class": "reviewsite.ways.Told"},
        "units": {"class": "reviewsite.units.Told"},
    },
    "loggers": {
        "django": {"handlers": ["errors"], "level": "INFO"},
        # Which shards each statement was sent to, and why: for the panel of queries.
        "shoal.sharding": {"handlers": ["panel"], "level": "DEBUG", "propagate": False},
        # Who prepared, decided and committed, and when: for the panel too.
        "shoal.transactions": {
            "handlers": ["units", "errors"],
            "level": "DEBUG",
            "propagate": False,
        },
    },
}
