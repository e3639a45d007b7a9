"""PostgreSQL with a replica for the shop, MariaDB for its figures."""

import os

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
    "metrics",
    "shop",
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


def database(engine, name, **more):
    """Describe a database; the environment says where it is and who may log in."""
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": os.environ[f"{name}_NAME"],
        "USER": os.environ[f"{name}_USER"],
        "PASSWORD": os.environ[f"{name}_PASSWORD"],
        "HOST": os.environ[f"{name}_HOST"],
        "PORT": os.environ[f"{name}_PORT"],
        **more,
    }


DATABASES = {
    "default": {},
    "main": database("postgresql", "MAIN_DB"),
    # Follows `main`, so it has its name and takes no writes.
    "main_replica": database("postgresql", "MAIN_REPLICA_DB"),
    "analytics": database("mysql", "ANALYTICS_DB", OPTIONS={"charset": "utf8mb4"}),
}
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = {
    "CLUSTERS": {
        "main": {
            "APPS": ["shop", "auth", "contenttypes", "sessions", "admin"],
            "REPLICAS": ["main_replica"],
        },
        "analytics": {"APPS": ["metrics"]},
    },
}
