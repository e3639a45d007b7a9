"""`manage.py shoal publish`: copy objects between editions, or remove them there."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import Model

from shoal.cli.screen import Screen
from shoal.errors import PublishError, did_you_mean
from shoal.placement import get_placement
from shoal.publishing import publish, unpublish
from shoal.topology import get_topology


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="app.Model", help="The model to publish.")
    parser.add_argument("keys", nargs="*", metavar="pk", help="Primary keys.")
    parser.add_argument("--all", action="store_true", help="Every object of the model.")
    parser.add_argument(
        "--from", required=True, dest="source", metavar="ROLE", help="Read here."
    )
    parser.add_argument("--to", required=True, metavar="ROLE", help="Write here.")
    parser.add_argument(
        "--include",
        nargs="+",
        action="extend",
        default=[],
        metavar="RELATION",
        help='Reverse relations that come along, as in "sections__footnotes".',
    )
    parser.add_argument(
        "--delete",
        action="store_true",
        help="Remove the objects from --to instead. --from keeps them.",
    )


def usage_error(options: Mapping[str, Any]) -> str | None:
    """Return what is wrong with how the arguments go together."""
    if options["all"] and options["keys"]:
        return "give primary keys or --all, not both"
    if not options["all"] and not options["keys"]:
        return "give primary keys, or --all for every object"
    if options["delete"] and options["include"]:
        return "--include does not go with --delete, which follows the deletion rules"
    return None


def run(options: Mapping[str, Any], screen: Screen) -> None:
    model = model_named(options["model"])
    roles = {"source": options["source"], "to": options["to"]}
    if options["delete"]:
        report = unpublish(_objects(model, options, options["to"]), **roles)
    else:
        objects = _objects(model, options, options["source"])
        report = publish(objects, include=options["include"], **roles)
    if screen.is_json:
        screen.data({"ok": True, **report.as_dict()})
    screen.out.print(str(report), soft_wrap=True)


def model_named(name: str) -> type[Model]:
    """Return the model, or raise `PublishError` with the nearest known one."""
    known = {m._meta.label_lower: m for m in apps.get_models()}
    if name.lower() in known:
        return known[name.lower()]
    labels = [m._meta.label for m in known.values()]
    same_app = [n for n in labels if n.split(".")[0] == name.split(".")[0]]
    raise PublishError(
        f"There is no model {name!r}.", hint=did_you_mean(name, same_app or labels)
    )


def _objects(model: type[Model], options: Mapping[str, Any], role: str) -> Any:
    if not options["all"]:
        return _with_keys(model, options["keys"])
    queryset = model._base_manager.all()
    alias = _alias_of(model, role)
    return queryset.using(alias) if alias else queryset


def _alias_of(model: type[Model], role: str) -> str | None:
    """Return where the edition lives. A cluster without one is reported later."""
    cluster = get_topology().clusters.get(get_placement().cluster_of(model) or "")
    if cluster is None or not cluster.editions:
        return None
    return cluster.edition(role).primary


def _with_keys(model: type[Model], keys: Sequence[str]) -> list[Model]:
    """Return objects that are no more than their keys; publishing reads the rest."""
    key: Any = model._meta.pk
    found = []
    for text in keys:
        try:
            value = key.to_python(text)
        except ValidationError as error:
            raise PublishError(
                f"{text!r} is no primary key of {model._meta.label}: "
                f"{' '.join(error.messages)}",
                hint="Give primary keys after the model, or --all.",
            ) from error
        found.append(model.from_db(None, [key.attname], [value]))
    return found
