"""
Takes the databases of a test, deletes the messages and runs of sagas that it has left.

Django empties the tables of models that are managed. Imports models when it is called:
pytest imports this before there is a project.
"""

from collections.abc import Collection

from django.db import connections

from shoal.types import Alias


def empty(databases: Collection[Alias]) -> None:
    from shoal.models import (
        MessageRow,
        ReceivedRow,
        SagaMarkRow,
        SagaRow,
        SagaStepRow,
    )
    from shoal.placement.control import Control
    from shoal.transactions.outbox.sources import sources

    tables = (MessageRow, ReceivedRow, SagaRow, SagaStepRow, SagaMarkRow)
    for alias in sources():
        if alias in databases:
            connections[alias].ensure_connection()
            there = Control(connections[alias])
            missing = there.missing(tables)
            for model in tables:
                if model not in missing:
                    there.change(f'DELETE FROM "{model._meta.db_table}"')
