"""
`publish` and `unpublish`: objects from one edition of a cluster to another.

Take objects and two roles, give a `PublishReport`. All or nothing.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connections

from shoal.errors import PublishError, ShoalError
from shoal.publishing.reading import matching, snapshot
from shoal.publishing.removal import remove
from shoal.publishing.report import PublishReport, Tally
from shoal.publishing.request import Objects, Request, check_found, request_for
from shoal.publishing.tables import ModelClass, in_order, named, table_of
from shoal.publishing.target import carry_out, plan_for
from shoal.publishing.translate import Translation, translate
from shoal.publishing.turns import turn
from shoal.publishing.walk import Copy, Walk
from shoal.types import ClusterName, Role


def publish(
    objects: Objects,
    *,
    source: Role = "draft",
    to: Role = "public",
    include: Iterable[str] = (),
    cluster: ClusterName | None = None,
) -> PublishReport:
    """
    Make the edition `to` like the edition `source`, as far as these objects go.

    Copies the objects as the source has them now, under the same primary keys: their
    columns as they are (`auto_now` is left alone), the rows of their multi-table
    parents, what they refer to by foreign keys within the cluster, and what that refers
    to. Their many-to-many links, and the reverse relations that `include` names
    (`"sections"`, `"sections__footnotes"`), become exactly those of the source: what
    is not there any more is removed, by Django's rules of deletion.

    Everything happens in one transaction on the target, or not at all: `PublishError`
    names the object and the cause. The source is read under one snapshot, unless a
    transaction is open there already: then as that transaction sees it. Publishings
    into one edition take turns. Sends no signals of saving, as `bulk_create`; what is
    deleted sends those of deletion.
    """
    request = request_for(
        objects, source=source, to=to, include=include, cluster=cluster
    )
    tally = Tally()
    if request is not None:
        with _failures_named(request, "publish"):
            _publish(request, tally)
    return PublishReport(
        cluster=request.cluster if request else cluster,
        source=source,
        to=to,
        **tally.counts(),
    )


def unpublish(
    objects: Objects,
    *,
    source: Role = "draft",
    to: Role = "public",
    cluster: ClusterName | None = None,
) -> PublishReport:
    """
    Remove objects from the edition `to`, and leave those of `source` alone.

    Django's rules of deletion hold there: cascades are followed and counted, and
    `PROTECT` raises `PublishError` with nothing changed. What isn't there is no error.
    A queryset is asked on the source, like that of `publish`, unless it says `using`.
    """
    request = request_for(objects, source=source, to=to, cluster=cluster)
    tally = Tally()
    if request is not None:
        with _failures_named(request, "unpublish"):
            _unpublish(request, tally)
    return PublishReport(
        action="unpublish",
        cluster=request.cluster if request else cluster,
        source=source,
        to=to,
        **tally.counts(),
    )


async def apublish(objects: Objects, **options: Any) -> PublishReport:
    """Publish as `publish` does, in Django's thread for such code."""
    return await sync_to_async(publish, thread_sensitive=True)(objects, **options)


async def aunpublish(objects: Objects, **options: Any) -> PublishReport:
    """Unpublish as `unpublish` does, in Django's thread for such code."""
    return await sync_to_async(unpublish, thread_sensitive=True)(objects, **options)


def _publish(request: Request, tally: Tally) -> None:
    to = request.to.primary
    nested = connections[to].in_atomic_block
    with turn(to, request.models[0]):
        copy = _copy(request)
        carry_out(plan_for(copy, request.cluster, to), tally)
        if connections[to].vendor == "postgresql" and not nested:
            # What PostgreSQL would otherwise say at the commit.
            connections[to].check_constraints()


def _copy(request: Request) -> Copy:
    """Read everything to be copied, at one moment."""
    with snapshot(request.source.primary):
        walk = Walk(request.cluster, request.source.primary)
        asked = request.keys()
        for model, keys in asked.items():
            walk.select(model, keys, request.include)
        walk.settle()
        check_found(request, asked, walk.copy.rows)
        walk.check_references()
        by = Translation(request.source, request.to)
        translate(walk.copy, request.cluster, by)
    return walk.copy


def _unpublish(request: Request, tally: Tally) -> None:
    to = request.to.primary
    with turn(to, request.models[0]):
        found = {
            model: {
                item.pk: item
                for queryset in matching(model, to, "pk", keys)
                for item in queryset
            }
            for model, keys in request.keys().items()
        }
        ordered, _ = in_order([table_of(model, request.cluster) for model in found])
        remove(found, ordered, to, tally)


@contextlib.contextmanager
def _failures_named(
    request: Request, action: Literal["publish", "unpublish"]
) -> Iterator[None]:
    try:
        yield
    except ShoalError:
        raise
    except (DatabaseError, InterfaceError) as error:
        done = "published from" if action == "publish" else "unpublished from"
        roles = f"{request.source.role!r} to {request.to.role!r}"
        where = roles if action == "publish" else f"{request.to.role!r}"
        raise PublishError(
            f"{_what(request)} could not be {done} {where}: {str(error).strip()}",
            hint="Nothing was changed. `manage.py shoal status` shows whether both "
            "editions answer and are migrated.",
        ) from error


def _what(request: Request) -> str:
    def each() -> Iterator[str]:
        for model, keys in request.instances.items():
            yield named(model, keys)

    if request.queryset is not None:
        model: ModelClass = request.queryset.model
        return f"A queryset of {model._meta.label}"
    return " and ".join(each())
