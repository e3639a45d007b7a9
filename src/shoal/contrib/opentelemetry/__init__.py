"""
Tells traces which server reads go to, and why.

`"shoal.contrib.opentelemetry"` in `INSTALLED_APPS` is all that a project needs. Without
a span that records, nothing is done.
"""

from shoal.errors import SettingsError

try:
    import opentelemetry.trace  # noqa: F401
except ImportError as error:
    raise SettingsError(
        "'shoal.contrib.opentelemetry' needs opentelemetry-api, which is not "
        "installed.",
        hint="pip install 'django-shoal[tracing]', or take the app out of "
        "INSTALLED_APPS.",
    ) from error
