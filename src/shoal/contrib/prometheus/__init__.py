"""
Tells Prometheus how the servers are and who serves the reads.

`"shoal.contrib.prometheus"` in `INSTALLED_APPS` is all that a project needs to have the
metrics where its others are. `metrics` is a view for one that has no such place yet.
"""

from shoal.errors import SettingsError

try:
    import prometheus_client  # noqa: F401
except ImportError as error:
    raise SettingsError(
        "'shoal.contrib.prometheus' needs prometheus-client, which is not installed.",
        hint="pip install 'django-shoal[metrics]', or take the app out of "
        "INSTALLED_APPS.",
    ) from error

from shoal.contrib.prometheus.collecting import Collector
from shoal.contrib.prometheus.view import metrics

__all__ = ["Collector", "metrics"]
