"""Two models of one app in two databases, all the rest on SQLite."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "config.urls"
STATIC_URL = "static/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "shoal",
    "core",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "shoal.routing.Middleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


# Databases


def postgres(name):
    """Describe a PostgreSQL database; who may log in is said by the environment."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ[f"{name}_NAME"],
        "USER": os.environ[f"{name}_USER"],
        "PASSWORD": os.environ[f"{name}_PASSWORD"],
        "HOST": os.environ[f"{name}_HOST"],
        "PORT": os.environ[f"{name}_PORT"],
    }


DATABASES = {
    # Accounts, sessions and the admin's log: no cluster claims them.
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
    },
    "user": postgres("USER_DB"),
    "admin": postgres("ADMIN_DB"),
}
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = {
    "CLUSTERS": {
        "user": {"MODELS": ["core.CustomerInformation"]},
        "admin": {"MODELS": ["core.CustomerSupport"]},
    },
}
