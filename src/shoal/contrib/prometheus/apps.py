"""The Django app: registers the metrics of this process."""

from django.apps import AppConfig


class ShoalPrometheusConfig(AppConfig):
    name = "shoal.contrib.prometheus"
    label = "shoal_prometheus"
    verbose_name = "Shoal: metrics"

    def ready(self) -> None:
        from shoal.contrib.prometheus.choices import count
        from shoal.contrib.prometheus.collecting import register
        from shoal.routing.listeners import listen

        register()
        listen(count)
