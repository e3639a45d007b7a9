"""The Django app. Its package has connected the signals by now."""

from django.apps import AppConfig


class CeleryConfig(AppConfig):
    name = "shoal.contrib.celery"
    # A project may well have an app that is called "celery".
    label = "shoal_celery"
    verbose_name = "Shoal for Celery"
