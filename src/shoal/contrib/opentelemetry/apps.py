"""The Django app: listens to choices."""

from django.apps import AppConfig


class ShoalOpenTelemetryConfig(AppConfig):
    name = "shoal.contrib.opentelemetry"
    label = "shoal_opentelemetry"
    verbose_name = "Shoal: traces"

    def ready(self) -> None:
        from shoal.contrib.opentelemetry.spans import annotate
        from shoal.routing.listeners import listen

        listen(annotate)
