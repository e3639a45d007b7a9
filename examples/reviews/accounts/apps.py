"""Takes nothing, gives the app of the people who read and write."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
