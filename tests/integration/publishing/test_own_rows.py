"""Content types and permissions: rows that each edition makes for itself."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.test import override_settings

from shoal.errors import PublishError
from shoal.publishing import publish
from tests.integration.publishing.conftest import shoal
from tests.integration.publishing.press.models import Note

DRAFT, PUBLIC = "press_draft", "press"


@pytest.fixture(autouse=True)
def one_cluster(press):
    """Let the cluster hold these tables, too, with different keys in each edition."""
    with override_settings(SHOAL=shoal(apps=("press", "contenttypes", "auth"))):
        kinds = ["page", "note", "topic"]
        for alias, names in ((DRAFT, kinds), (PUBLIC, kinds[::-1])):
            for name in names:
                kind = ContentType.objects.using(alias).create(
                    app_label="press", model=name
                )
                Permission.objects.using(alias).create(
                    name=name, codename=f"read_{name}", content_type=kind
                )
        yield
        ContentType.objects.clear_cache()


def kind(alias, name):
    return ContentType.objects.using(alias).get(model=name)


def test_content_type_is_found_by_its_name():
    note = Note(kind=kind(DRAFT, "page"), about=3)
    note.save(using=DRAFT)
    assert kind(DRAFT, "page").pk != kind(PUBLIC, "page").pk

    report = publish(note)

    assert report.created == {"press.Note": 1}
    assert Note.objects.using(PUBLIC).get().kind_id == kind(PUBLIC, "page").pk
    assert publish(note).unchanged == {"press.Note": 1}


def test_permissions_of_a_group_are_found_by_their_names():
    group = Group.objects.using(DRAFT).create(name="g")
    names = ["read_page", "read_topic"]
    group.permissions.set(
        Permission.objects.using(DRAFT).filter(codename__in=names[:1])
    )
    publish(group)
    group.permissions.set(Permission.objects.using(DRAFT).filter(codename__in=names))

    report = publish(group)

    assert report.created == {"auth.Group_permissions": 1}
    there = Group.objects.using(PUBLIC).get().permissions.values_list("codename")
    assert sorted(there) == [("read_page",), ("read_topic",)]
    assert Permission.objects.using(PUBLIC).count() == 3


def test_content_type_that_the_target_does_not_have():
    new = ContentType.objects.using(DRAFT).create(app_label="press", model="slot")
    note = Note(kind=new, about=3)
    note.save(using=DRAFT)
    with pytest.raises(PublishError, match="shoal migrate") as caught:
        publish(note)
    assert caught.value.message == (
        "contenttypes.ContentType ('press', 'slot') does not exist in the edition "
        "'public' ('press')."
    )


def test_content_types_themselves():
    with pytest.raises(PublishError, match="makes these rows for itself"):
        publish(ContentType.objects.all())
    note = Note(kind=kind(DRAFT, "topic"), about=3)
    note.save(using=DRAFT)
    with pytest.raises(PublishError, match="makes these rows for itself"):
        publish(note, include=["kind__permission_set"])
    assert not Note.objects.using(PUBLIC).exists()
