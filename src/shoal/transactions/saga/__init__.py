"""
Work that holds no transaction open: a payment, another service, days.

Takes steps and compensations; each is recorded before it runs, resumed after a crash
and undone in reverse order if one of them fails. What runs and resumes sagas needs
Django's apps, so it is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shoal.transactions.saga.answers import Fail, Retry
from shoal.transactions.saga.defining import Saga
from shoal.transactions.saga.values import Run, Standing

if TYPE_CHECKING:
    from shoal.transactions.saga.forgetting import forget
    from shoal.transactions.saga.looking import Overview, overview
    from shoal.transactions.saga.operating import retry, settle
    from shoal.transactions.saga.resuming import Report, discover, resume

saga = Saga

__all__ = [
    "Fail",
    "Overview",
    "Report",
    "Retry",
    "Run",
    "Saga",
    "Standing",
    "discover",
    "forget",
    "overview",
    "resume",
    "retry",
    "saga",
    "settle",
]
_LATE = {
    "Overview": "looking",
    "Report": "resuming",
    "discover": "resuming",
    "forget": "forgetting",
    "overview": "looking",
    "resume": "resuming",
    "retry": "operating",
    "settle": "operating",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
