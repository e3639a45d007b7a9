"""
Takes the tasks of Celery as they are sent and run; gives each the token of its sender.

`INSTALLED_APPS += ["shoal.contrib.celery"]` connects it, where tasks are sent and in
the workers. So does an import of this package.
"""

from importlib.util import find_spec

from shoal.errors import SettingsError


def _connect() -> None:
    """Connect Celery's signals, once however often it is called."""
    from celery import signals

    from shoal.contrib.celery import running, sending

    for signal, receiver in (
        (signals.before_task_publish, sending.give_token),
        (signals.task_prerun, running.begin),
        (signals.task_postrun, running.end),
    ):
        uid = f"{receiver.__module__}.{receiver.__name__}"
        signal.connect(receiver, weak=False, dispatch_uid=uid)


if find_spec("celery") is None:
    raise SettingsError(
        "'shoal.contrib.celery' needs Celery, which is not installed.",
        hint="pip install 'django-shoal[celery]', or take the app out of "
        "INSTALLED_APPS.",
    )
_connect()
