from django.apps import AppConfig


class PressConfig(AppConfig):
    name = "press"

    def ready(self) -> None:
        from shoal import server_checks  # noqa: F401
