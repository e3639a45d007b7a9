"""The system checks, whole messages."""

import io
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.management.base import BaseCommand
from django.db import models
from django.test import override_settings
from django.test.utils import isolate_apps

from shoal.checks import check_relations, check_setting
from shoal.conf import get_conf

ALL = ["auth", "contenttypes", "sessions", "admin", "catalog", "feedback", "pages"]


def found(shoal: dict[str, Any], **more: Any) -> list[str]:
    """Run the check of the setting; return id, message and hint of each finding."""
    with override_settings(SHOAL={"CLUSTERS": shoal}, **more):
        return [f"{m.id}: {m.msg} {m.hint}" for m in check_setting(None)]


def across() -> list[str]:
    messages = check_relations([apps.get_app_config("feedback")])
    return [f"{m.id}: {m.msg} {m.hint}" for m in messages]


def test_the_project_of_the_tests_is_sound() -> None:
    shoal = [m for m in run_checks() if (m.id or "").startswith("shoal.")]
    assert shoal == []


def test_a_broken_setting_is_a_message_and_not_a_traceback() -> None:
    with override_settings(SHOAL={"CLUSTERS": {"catalogue": {}}}):
        messages = run_checks(databases=[])
    assert "shoal.E002" in [message.id for message in messages]


def test_a_command_shows_a_broken_setting_without_a_traceback() -> None:
    # From Django 6.1 on the checks of models ask the router about every alias.
    command = BaseCommand(stderr=io.StringIO())
    command.handle = lambda **options: get_conf()  # type: ignore[assignment]
    broken = override_settings(SHOAL={"CLUSTERS": {"catalogue": {}}})
    with broken, pytest.raises(SystemExit) as caught:
        command.run_from_argv(["manage.py", "anything", "--skip-checks"])
    assert caught.value.code == 1
    assert command.stderr._out.getvalue().startswith(
        """SettingsError: SHOAL["CLUSTERS"] names the alias 'catalogue', which is"""
    )


def test_nothing_is_said_without_a_setting() -> None:
    with override_settings(SHOAL={}, DATABASE_ROUTERS=[], MIDDLEWARE=[]):
        assert check_setting(None) == []
        assert check_relations(None) == []


def test_an_app_that_is_not_installed() -> None:
    assert found({"accounts": {"APPS": [*ALL, "django.contrib.atuh"]}}) == [
        """shoal.E009: SHOAL["CLUSTERS"]['accounts']["APPS"] names """
        "'django.contrib.atuh', which is not an installed app. It takes app labels. "
        "Did you mean 'auth'? Known: 'admin', 'auth', 'catalog', 'contenttypes', "
        "'feedback', 'messages', 'pages', 'sessions', 'shoal'."
    ]


def test_a_model_that_does_not_exist() -> None:
    assert found({"accounts": {"APPS": ALL, "MODELS": ["feedback.Reveiw"]}}) == [
        """shoal.E009: SHOAL["CLUSTERS"]['accounts']["MODELS"] names """
        "'feedback.reveiw', which is not a model. Did you mean 'feedback.review'? "
        "Known: 'feedback.review', 'feedback.vote'."
    ]


def test_the_former_name_of_a_model_may_be_claimed(monkeypatch: Any) -> None:
    from shoal.checks import claims

    monkeypatch.setattr(claims, "_once_models", lambda: {"feedback.opinion"})
    assert found({"accounts": {"APPS": ALL, "MODELS": ["feedback.Opinion"]}}) == []


def test_middleware_that_cannot_be_imported_is_djangos_to_report() -> None:
    from django.conf import settings

    middleware = ["tests.nowhere.Middleware", *settings.MIDDLEWARE]
    assert found({"accounts": {"APPS": ALL}}, MIDDLEWARE=middleware) == []


def test_the_label_of_the_database_cache_is_known() -> None:
    assert found({"accounts": {"APPS": [*ALL, "django_cache"]}}) == []


def test_default_is_empty_while_something_needs_it() -> None:
    needed = [app for app in ALL if app != "sessions"]
    assert found({"accounts": {"APPS": needed}}) == [
        "shoal.E008: No cluster claims sessions.Session, and DATABASES has no "
        "'default' for it to live in. Add its app to the APPS of a cluster, or "
        "configure 'default'."
    ]


class Elsewhere:
    def db_for_write(self, model: type, **hints: Any) -> str | None:
        return "feedback" if model.__name__ == "Session" else None


def test_another_router_may_take_in_what_nobody_claims() -> None:
    needed = [app for app in ALL if app != "sessions"]
    routers = ["shoal.routing.Router", Elsewhere()]
    assert found({"accounts": {"APPS": needed}}, DATABASE_ROUTERS=routers) == []


def test_the_router_is_missing() -> None:
    assert found({"accounts": {"APPS": ALL}}, DATABASE_ROUTERS=[]) == [
        "shoal.E010: SHOAL describes clusters, but no router of Shoal is installed, "
        "so every query goes to 'default'. "
        'Set DATABASE_ROUTERS = ["shoal.routing.Router"].'
    ]


ROLES = {
    "APPS": ALL,
    "ROLES": {"public": "pages", "draft": "pages_draft"},
    "REQUEST_ROLE": "tests.project.urls.role_of",
}


def test_the_middleware_is_missing() -> None:
    assert found({"pages": ROLES}, MIDDLEWARE=[]) == [
        "shoal.E011: Cluster 'pages' has REQUEST_ROLE, but nothing asks it: Shoal's "
        'middleware is not installed. Add "shoal.routing.Middleware" to MIDDLEWARE.'
    ]


@pytest.mark.parametrize(
    ("consistency", "missed"),
    [
        ("session", "nothing carries a visitor's writes to their next request"),
        ("eventual", "a request does not begin a unit of work"),
    ],
)
def test_the_middleware_is_missing_where_replicas_serve(
    consistency: str, missed: str
) -> None:
    replicas = {
        "catalog": {
            "APPS": ALL,
            "REPLICAS": ["catalog_r1"],
            "CONSISTENCY": consistency,
        }
    }
    assert found(replicas, MIDDLEWARE=[]) == [
        "shoal.W001: Cluster 'catalog' has replicas, but Shoal's middleware is not "
        f"installed, so {missed}. "
        'Add "shoal.routing.Middleware" to MIDDLEWARE.'
    ]
    assert found(replicas) == []


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_a_replica_is_several_servers() -> None:
    from django.conf import settings

    several = {"HOST": "db2,db3"}
    databases = {
        **settings.DATABASES,
        # A primary may name several, of which one takes writes.
        "catalog": {**settings.DATABASES["catalog"], **several},
        "catalog_r1": {**settings.DATABASES["catalog_r1"], **several},
    }
    replicas = {"catalog": {"APPS": ALL, "REPLICAS": ["catalog_r1", "catalog_r2"]}}
    assert found(replicas, DATABASES=databases) == [
        "shoal.W005: The replica 'catalog_r1' of 'catalog' has the HOST 'db2,db3', "
        "which is several servers: one may be asked how far it is, and another be "
        "read. Give each server an alias of its own, and list all of them in REPLICAS."
    ]


def test_a_request_role_that_cannot_be_imported() -> None:
    (message,) = found({"pages": {**ROLES, "REQUEST_ROLE": "tests.nowhere.role_of"}})
    assert message.startswith(
        "shoal.E001: REQUEST_ROLE of cluster 'pages' is 'tests.nowhere.role_of', "
        "which cannot be imported: No module named 'tests.nowhere'"
    )


def atomic_on(*aliases: str) -> dict[str, Any]:
    from django.conf import settings

    return {
        alias: {**database, "ATOMIC_REQUESTS": alias in aliases}
        for alias, database in settings.DATABASES.items()
    }


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        (
            "catalog",
            "shoal.W002: ATOMIC_REQUESTS is on for 'catalog', so its replicas never "
            "serve a request: reads inside a transaction go to the primary. "
            "Turn it off and use atomic() where it matters.",
        ),
        (
            "catalog_r1",
            "shoal.E012: ATOMIC_REQUESTS is on for 'catalog_r1', which is a replica "
            "of 'catalog'. Each request would open a transaction there that can write "
            "nothing. Set it on the primary, if at all.",
        ),
        (
            "feedback",
            "shoal.W003: ATOMIC_REQUESTS is on for 'feedback': every request opens a "
            "transaction there, needed or not, and commits it apart from those on "
            "other clusters. Turn it off and use atomic(using='feedback') where it "
            "matters.",
        ),
    ],
)
def test_atomic_requests(alias: str, expected: str) -> None:
    with override_settings(DATABASES=atomic_on(alias)):
        assert [f"{m.id}: {m.msg} {m.hint}" for m in check_setting(None)] == [expected]


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_atomic_requests_on_default_cover_nothing_else() -> None:
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}
    databases = {
        **atomic_on(),
        "default": {**sqlite, "ATOMIC_REQUESTS": True},
    }
    with override_settings(DATABASES=databases):
        (message,) = check_setting(None)
    assert f"{message.id}: {message.msg} {message.hint}" == (
        "shoal.W004: ATOMIC_REQUESTS is on for 'default' only; a failing request does "
        "not roll back what it wrote on 'accounts', 'catalog', 'feedback', 'pages'. "
        "Use atomic(using=...) in the views that write there."
    )


def test_relations_across_without_a_constraint_are_fine() -> None:
    assert across() == []


@isolate_apps("tests.project.feedback", "tests.project.catalog", attr_name="apps")
def test_relations_that_no_database_can_hold() -> None:
    from tests.project.catalog.models import Bundle, Product, Tag

    class Order(models.Model):
        product = models.ForeignKey(Product, models.CASCADE)
        bundle = models.ForeignKey(
            Bundle, models.CASCADE, db_constraint=False, related_name="+"
        )
        tags = models.ManyToManyField(Tag)

        class Meta:
            app_label = "feedback"

        def __str__(self) -> str:
            return "order"

    from shoal.checks.relations import relations_of

    messages = [f"{m.id}: {m.msg} {m.hint}" for m in relations_of(Order)]
    assert messages == [
        "shoal.E003: feedback.Order.product is a foreign key with a database "
        "constraint, from cluster 'feedback' to catalog.Product on cluster 'catalog'. "
        "Set db_constraint=False and on_delete=models.DO_NOTHING, or place both "
        "models on one cluster.",
        "shoal.E020: feedback.Order.bundle follows the deletion of catalog.Bundle on "
        "cluster 'catalog', but Django would look for its rows there and not on "
        "cluster 'feedback'. Set on_delete=models.DO_NOTHING, and do what is to be "
        "done in a receiver of post_delete.",
        "shoal.E004: feedback.Order.tags is a many-to-many field from cluster "
        "'feedback' to catalog.Tag on cluster 'catalog'; its link rows live on "
        "cluster 'feedback'. Place all three on one cluster, or declare a model of "
        "your own with two foreign keys, the one across with db_constraint=False.",
    ]


@isolate_apps("tests.project.feedback", "tests.project.catalog")
def test_generic_relations_across() -> None:
    from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
    from django.contrib.contenttypes.models import ContentType

    from shoal.checks.relations import relations_of

    class Note(models.Model):
        content_type = models.ForeignKey(
            ContentType, models.DO_NOTHING, db_constraint=False
        )
        object_id = models.PositiveBigIntegerField()
        about = GenericForeignKey()

        class Meta:
            app_label = "feedback"

        def __str__(self) -> str:
            return "note"

    class Shelf(models.Model):
        notes = GenericRelation(Note)

        class Meta:
            app_label = "catalog"

        def __str__(self) -> str:
            return "shelf"

    assert [f"{m.id}: {m.msg}" for m in relations_of(Shelf)] == [
        "shoal.E005: catalog.Shelf.notes is a generic relation from cluster 'catalog' "
        "to feedback.Note on cluster 'feedback'."
    ]
    assert [f"{m.id}: {m.msg}" for m in relations_of(Note)] == [
        "shoal.E005: feedback.Note.about is a generic foreign key on cluster "
        "'feedback', but content types live on cluster 'accounts'."
    ]


@isolate_apps("tests.project.feedback")
def test_a_generic_foreign_key_without_its_content_type_is_djangos_to_report() -> None:
    from django.contrib.contenttypes.fields import GenericForeignKey

    from shoal.checks.relations import relations_of

    class Note(models.Model):
        object_id = models.PositiveBigIntegerField()
        about = GenericForeignKey("kind_of_thing", "object_id")

        class Meta:
            app_label = "feedback"

        def __str__(self) -> str:
            return "note"

    (field,) = Note._meta.private_fields
    assert [message.id for message in field.check()] == ["contenttypes.E002"]
    assert list(relations_of(Note)) == []
