"""Public and draft pages; internal and external records."""

import os

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["localhost", "intranet.localhost"]
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
    "pages",
    "records",
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
    "default": {},
    "accounts": postgres("ACCOUNTS_DB"),
    "site": postgres("SITE_DB"),
    "site_draft": postgres("SITE_DRAFT_DB"),
    "records": postgres("RECORDS_DB"),
    "records_internal": postgres("RECORDS_INTERNAL_DB"),
}
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = {
    "CLUSTERS": {
        "accounts": {"APPS": ["auth", "contenttypes", "sessions", "admin"]},
        "site": {
            "APPS": ["pages"],
            "ROLES": {"public": "site", "draft": "site_draft"},
            # request -> "public" or "draft"
            "REQUEST_ROLE": "pages.roles.edition_of",
        },
        "records": {
            "APPS": ["records"],
            "ROLES": {"external": "records", "internal": "records_internal"},
            "REQUEST_ROLE": "records.roles.audience_of",
        },
    },
}
