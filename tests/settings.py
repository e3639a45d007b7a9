"""The project that the tests run in. The lab fills in where its servers listen."""

from typing import Any


def on(name: str, **more: Any) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.postgresql", "NAME": name, **more}


SECRET_KEY = "for tests only"
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.project.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "shoal",
    "tests.project.catalog",
    "tests.project.feedback",
    "tests.project.pages",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
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
DATABASES = {
    "default": {},
    "accounts": on("accounts"),
    "catalog": on("catalog"),
    "catalog_r1": on("catalog"),
    "catalog_r2": on("catalog"),
    "feedback": on("feedback"),
    "pages": on("pages"),
    "pages_draft": on("pages_draft"),
}
DATABASE_ROUTERS = ["shoal.routing.Router"]
SHOAL = {
    "CLUSTERS": {
        "accounts": {"APPS": ["auth", "contenttypes", "sessions", "admin"]},
        "catalog": {"APPS": ["catalog"], "REPLICAS": ["catalog_r1", "catalog_r2"]},
        "feedback": {"APPS": ["feedback"]},
        "pages": {
            "APPS": ["pages"],
            "ROLES": {"public": "pages", "draft": "pages_draft"},
            "REQUEST_ROLE": "tests.project.urls.role_of",
        },
    },
}
