"""`manage.py shoal explain`: print how a queryset would be answered."""

import argparse
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from django.apps import apps
from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.models import functions
from django.db.models.manager import BaseManager
from django.db.models.sql.query import ExplainInfo  # type: ignore[attr-defined]
from django.utils import timezone

from shoal.cli.arguments import existing_alias
from shoal.cli.screen import Screen
from shoal.errors import ExplainError, did_you_mean
from shoal.sharding.explaining import Explaining
from shoal.sharding.plan_text import text
from shoal.topology import get_topology
from shoal.types import Alias

_NOTHING = "No server is asked: no row can fulfil the filter."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "queryset",
        metavar="QUERYSET",
        help='Evaluated as Python, as in "Review.objects.filter(stars=5)[:20]".',
    )
    parser.add_argument(
        "--using",
        type=existing_alias,
        metavar="ALIAS",
        help="Ask this alias; without, the one that the router names.",
    )
    parser.add_argument(
        "--analyze",
        action="store_true",
        help="Run the query, and show what the servers have measured.",
    )


def usage_error(options: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the expression, as far as can be told unevaluated."""
    try:
        compile(options["queryset"].strip(), "QUERYSET", "eval")
    except (SyntaxError, ValueError) as error:
        return f"{options['queryset']!r} is no expression of Python: {error}"
    return None


def run(options: Mapping[str, Any], screen: Screen) -> None:
    found = queryset_of(options["queryset"])
    alias = options["using"] or found.db
    asked = {"analyze": True} if options["analyze"] else {}
    if asked and connections[alias].vendor == "sqlite":
        raise ExplainError(
            f"SQLite, on {alias!r}, has nothing that it measures while a query runs.",
            hint="Run the same without --analyze.",
        )
    is_sharded = alias in get_topology().clusters
    is_sharded = is_sharded and get_topology().clusters[alias].is_sharded
    look = _look_at_shards if is_sharded else _look_at_one
    data, lines = look(found, alias, asked)
    if screen.is_json:
        screen.data({"ok": True, "alias": alias, "sharded": is_sharded, **data})
    for line in lines:
        screen.out.print(line, soft_wrap=True)


def queryset_of(expression: str) -> Any:
    """Evaluate it, and return its queryset, or raise `ExplainError`."""
    # Whoever may run manage.py may run any Python.
    named = namespace()
    try:
        found = eval(expression.strip(), named)
    except NameError as error:
        hint = did_you_mean(str(error.name), named)
        raise ExplainError(f"{error}.", hint=hint) from error
    if isinstance(found, BaseManager):
        found = found.all()
    if isinstance(found, models.QuerySet):
        return found
    what = "the class" if isinstance(found, type) else "an object of"
    name = found.__name__ if isinstance(found, type) else type(found).__name__
    raise ExplainError(
        f"{expression!r} gives {what} {name}, not a queryset.",
        hint="Pass what is not evaluated yet, such as Review.objects.filter(stars=5): "
        "without count(), first(), get() or an index. How these are answered is in "
        "the log shoal.sharding.",
    )


def namespace() -> dict[str, Any]:
    """Return what an expression may name: models, by app too, and parts of queries."""
    named: dict[str, Any] = {}
    for module in (functions, models):
        named |= {name: getattr(module, name) for name in module.__all__}
    by_app: dict[str, dict[str, Any]] = {}
    for model in reversed(apps.get_models()):
        # As in `manage.py shell`: of two with one name, the first app's.
        named[model.__name__] = model
        by_app.setdefault(model._meta.app_label, {})[model.__name__] = model
    packages = {app: SimpleNamespace(**its) for app, its in by_app.items()}
    return {"connections": connections, "timezone": timezone, **packages, **named}


def _look_at_shards(
    found: Any, alias: Alias, asked: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    query: Any = found.query.clone()
    query.explain_info = ExplainInfo(None, dict(asked))
    compiler = query.get_compiler(using=alias)
    try:
        sql, params = compiler.as_sql()
    except EmptyResultSet:
        return {"way": None}, [_NOTHING]
    plan, own = Explaining(compiler).look(sql, params)
    plans = [{"alias": o.alias, "table": o.table or None, "plan": o.plan} for o in own]
    return {**plan.as_json(), "plans": plans}, list(text(plan, own))


def _look_at_one(
    found: Any, alias: Alias, asked: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    lines = found.using(alias).explain(**asked).splitlines()
    if not lines:
        return {"plan": []}, [_NOTHING]
    head = f"{alias!r} is not sharded: its server answers alone."
    return {"plan": lines}, [head, f"Plan of {alias}:", *(f"  {one}" for one in lines)]
