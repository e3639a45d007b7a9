"""Takes nothing, gives the app of the staff's page on which a process is killed."""

from django.apps import AppConfig


class CrashingConfig(AppConfig):
    name = "crashing"
