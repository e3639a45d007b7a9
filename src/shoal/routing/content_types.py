"""
Sends the renaming of a content type to the cluster of content types.

Takes a migration plan in which Django has put such an operation behind each
`RenameModel`. It asks the router for the renamed model's app alone, which on most
projects with many databases is not where content types live.
"""

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db.migrations import Migration


def place_renames(*, plan: Iterable[tuple[Migration, bool]], **kwargs: Any) -> None:
    """Hint each renaming at its model. Receives `pre_migrate`."""
    if not apps.is_installed("django.contrib.contenttypes"):
        return
    from django.contrib.contenttypes.management import RenameContentType
    from django.contrib.contenttypes.models import ContentType

    for migration, _ in plan:
        for operation in migration.operations:
            if isinstance(operation, RenameContentType):
                operation.hints = {"model": ContentType}
