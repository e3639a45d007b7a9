"""What can't be published: one error that says why, and nothing changed."""

import contextlib

import pytest
from django.db import connections, models, transaction
from django.test import override_settings

from shoal.errors import PublishError, UnknownCluster, UnknownRole
from shoal.publishing import publish, unpublish
from tests.integration.publishing.conftest import only, shoal
from tests.integration.publishing.press.models import (
    Author,
    Booking,
    Footnote,
    Loose,
    Page,
    Reply,
    Section,
    Slot,
    Tag,
    Topic,
)
from tests.project.catalog.models import Product
from tests.project.pages import models as pages

DRAFT, PUBLIC = "press_draft", "press"
pytestmark = pytest.mark.usefixtures("press")


def make(model, alias=DRAFT, **values):
    item = model(**values)
    item.save(using=alias)
    return item


def page(slug="a", alias=DRAFT, **values):
    return make(Page, alias, slug=slug, title=values.pop("title", slug), **values)


def everything(alias=PUBLIC):
    """Return every row of an edition."""
    found = {}
    connection = connections[alias]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found[table] = sorted(cursor.fetchall(), key=repr)
    return found


@contextlib.contextmanager
def refused(message, hint="", error=PublishError):
    before = everything(PUBLIC)
    with pytest.raises(error) as caught:
        yield caught
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert everything(PUBLIC) == before


def test_unknown_role():
    one = page()
    with refused("no edition with the role 'pubic'", "'public'", error=UnknownRole):
        publish(one, to="pubic")
    with refused("no edition with the role 'draught'", "'draft'", error=UnknownRole):
        publish(one, source="draught")
    with refused("role 'x'", error=UnknownRole):
        publish([], cluster="press", to="x")


def test_same_role_twice():
    with refused("Both source and to are the role 'draft' of 'press'."):
        publish(page(), to="draft")


def test_model_that_has_no_editions():
    product = Product(pk=1, name="x")
    product._state.adding = False
    with refused("it lives on the cluster 'catalog', which has no ROLES", "ROLES"):
        publish(product)
    with override_settings(SHOAL=shoal(apps=())), refused("it lives on no cluster"):
        publish(page())


def test_objects_of_two_clusters():
    topic = pages.Topic(pk=1, name="x")
    topic._state.adding = False
    with refused("press.Page on 'press', pages.Topic on 'pages'."):
        publish([page(), topic])


def test_cluster_that_was_asked_for():
    assert publish(page(), cluster="press").created
    with refused("but the cluster 'pages' was asked for"):
        publish(page("b"), cluster="pages")
    with refused("No cluster is named 'pres'", "'press'", error=UnknownCluster):
        publish([], cluster="pres")


def test_object_that_is_not_saved():
    with refused("An object of press.Page was given that is not saved."):
        publish(Page(title="x"))
    with refused("An object of press.Tag was given that is not saved."):
        publish([Tag(name="x")])


def test_object_that_the_source_does_not_have():
    known = page()
    lost = [page(slug) for slug in "bcdef"]
    ghosts = list(Page.objects.using(DRAFT).exclude(pk=known.pk).order_by("pk"))
    Page.objects.using(DRAFT).exclude(pk=known.pk).delete()
    keys = [item.pk for item in lost]
    listed = f"press.Page {keys[0]}, {keys[1]}, {keys[2]} and 2 more do not exist in "
    with refused(f"{listed}the edition 'draft' ('press_draft').", "unpublish"):
        publish([known, *ghosts])
    elsewhere = page("z", PUBLIC, pk=900)
    with refused("press.Page 900 does not exist in the edition 'draft'"):
        publish(elsewhere)


@pytest.mark.parametrize(
    ("include", "message", "hint"),
    [
        ("sections", "include is the string 'sections'", "include=['sections']"),
        (["section"], "include names 'section', which is not", "mean 'sections'?"),
        (["sections__notes"], "not a relation of press.Section", "'footnotes'"),
        (["title"], "include names 'title'", "Known: "),
        ([""], "include names ''", "Known: "),
        (["product"], "that lives on the cluster 'catalog' and not on 'press'", ""),
    ],
)
def test_include_that_leads_nowhere(include, message, hint):
    with refused(message, hint):
        publish(page(), include=include)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (lambda: Page.objects, "A manager was given"),
        (lambda: Page, "which is no object of a model"),
        (lambda: "Page", "'Page' was given"),
        (lambda: [1, 2], "1 was given"),
        (lambda: None, "None was given"),
        (lambda: Page.objects.values("pk"), "gives values, not objects"),
        (lambda: Page.objects.using("catalog").all(), "says using('catalog')"),
    ],
)
def test_what_is_no_object(objects, message):
    with refused(message):
        publish(objects())
    with refused(message):
        unpublish(objects())


def test_foreign_key_that_leads_nowhere():
    loose = make(Loose, topic_id=99)
    with refused(
        f"press.Loose {loose.pk} can't be published: its 'topic' refers to press.Topic "
        "99, which does not exist on 'press_draft'.",
        "Set 'topic'",
    ):
        publish(loose)


def test_unique_value_that_another_object_of_the_target_has():
    """The one at fault is named, among many."""
    page("taken", PUBLIC, pk=9000)
    many = [page(f"p{n}") for n in range(60)]
    Page.objects.using(DRAFT).filter(pk=many[37].pk).update(slug="taken")
    with refused(
        f"press.Page {many[37].pk} could not be written on 'press': ", "must be unique"
    ) as caught:
        publish(many)
    assert isinstance(caught.value.__cause__, Exception)
    assert "slug" in str(caught.value.__cause__)


def test_unique_value_that_stays_taken_when_others_are_swapped():
    slots = [make(Slot, number=n) for n in range(3)]
    publish(slots)
    queryset = Slot.objects.using(DRAFT)
    for number, slot in zip((10, 0, 7), slots, strict=True):
        queryset.filter(pk=slot.pk).update(number=number)
    make(Slot, PUBLIC, number=7, pk=900)
    with refused(f"press.Slot {slots[2].pk} could not be written on 'press': "):
        publish(slots)


def test_child_that_visitors_refer_to():
    one = page()
    section = make(Section, page=one, position=1)
    publish(one, include=["sections"])
    reply = make(Reply, PUBLIC, section_id=section.pk)
    key = section.pk
    section.delete()
    one.title = "new"
    one.save()
    make(Section, page=one, position=1)
    with refused(
        f"press.Section {key} can't be removed from 'press': press.Reply {reply.pk} "
        "refer to it there (PROTECT)."
    ):
        publish(one, include=["sections"])
    with refused(f"press.Reply {reply.pk} refer to it there (PROTECT)."):
        unpublish(one)


def test_table_that_the_target_lacks():
    one = page()
    make(Section, page=one, position=1)
    with missing(Section):
        with pytest.raises(PublishError) as caught:
            publish(one, include=["sections"])
        assert f"press.Page {one.pk} could not be published from 'draft' to 'public': "
        assert "press_section" in caught.value.message
        assert "manage.py shoal status" in caught.value.hint
    assert not models.QuerySet(Page, using=PUBLIC).exists()


@contextlib.contextmanager
def missing(model):
    table = model._meta.db_table
    with connections[PUBLIC].schema_editor() as editor:
        editor.alter_db_table(model, table, f"{table}_away")
    try:
        yield
    finally:
        with connections[PUBLIC].schema_editor() as editor:
            editor.alter_db_table(model, f"{table}_away", table)


def test_transaction_of_the_caller_goes_on_after_a_refusal():
    page("taken", PUBLIC, pk=9000)
    one, two = page("taken"), page("b")
    with transaction.atomic(using=PUBLIC):
        with pytest.raises(PublishError):
            publish(one)
        publish(two)
    slugs = models.QuerySet(Page, using=PUBLIC).values_list("slug", flat=True)
    assert sorted(slugs) == ["b", "taken"]


@only("postgresql")
def test_server_that_does_not_answer(postgres_lab):
    server = postgres_lab[PUBLIC]
    one, two = page(), make(Author, name="x", email="x")
    connections[PUBLIC].close()
    server.stop()
    try:
        with pytest.raises(PublishError, match="could not be published") as caught:
            publish([one, two])
        names = f"press.Page {one.pk} and press.Author {two.pk} could"
        assert names in caught.value.message
        password = connections[PUBLIC].settings_dict["PASSWORD"]
        assert password not in str(caught.value)
    finally:
        server.start()
    assert publish(one).created


def test_unpublish_leaves_the_source_alone():
    one, two = page("a"), page("b")
    section = make(Section, page=one, position=1)
    make(Footnote, section=section, text="x")
    one.tags.add(make(Tag, name="t"))
    publish([one, two], include=["sections__footnotes"])
    before = everything(DRAFT)

    report = unpublish(one)

    assert report.removed == {
        "press.Footnote": 1,
        "press.Page": 1,
        "press.Page_tags": 1,
        "press.Section": 1,
    }
    assert str(report).startswith("Unpublished from 'public': press.Footnote 1 removed")
    assert everything(DRAFT) == before
    slugs = models.QuerySet(Page, using=PUBLIC).values_list("slug", flat=True)
    assert list(slugs) == ["b"]


def test_unpublish_what_is_not_there():
    one = page()
    assert unpublish(one).removed == {}
    publish(one)
    assert unpublish(one).removed == {"press.Page": 1}
    assert unpublish(one).removed == {}


def test_unpublish_asks_a_queryset_on_the_source():
    one, two = page("a"), page("b")
    publish([one, two])
    Page.objects.using(DRAFT).filter(pk=one.pk).update(title="retired")
    assert unpublish(Page.objects.filter(title="retired")).removed == {"press.Page": 1}
    Page.objects.using(DRAFT).all().delete()
    queryset = Page.objects.using(PUBLIC).filter(slug="b")
    assert unpublish(queryset).removed == {"press.Page": 1}


def test_unpublish_objects_that_protect_each_other():
    topic = make(Topic, name="t")
    one = page(topic=topic)
    publish(one)
    with refused(f"press.Page {one.pk} refer to it there (PROTECT)."):
        unpublish(topic)
    assert unpublish([topic, one]).removed == {"press.Page": 1, "press.Topic": 1}


@only("mixed")
def test_value_that_the_kind_of_server_does_not_take():
    tags = [make(Tag, name=f"t{n}") for n in range(10)]
    Tag.objects.using(DRAFT).filter(pk=tags[6].pk).update(name="a\0b")
    with refused(
        f"press.Tag {tags[6].pk!r} could not be written on 'press': ", "other"
    ):
        publish(tags)
    assert publish(tags[:6]).created == {"press.Tag": 6}


@only("postgresql")
def test_values_are_not_swapped_where_the_server_would_delete_more():
    """A swap takes rows away for a moment; here a booking would go with its slot."""
    one, two = make(Slot, number=1), make(Slot, number=2)
    publish([one, two])
    make(Booking, PUBLIC, slot_id=one.pk)
    slots = Slot.objects.using(DRAFT)
    for slot, number in ((one, 9), (two, 1), (one, 2)):
        slots.filter(pk=slot.pk).update(number=number)
    with cascade_on_the_server(), refused("could not be written on 'press'", "unique"):
        publish(slots.all())
    assert publish(slots.all()).updated == {"press.Slot": 2}


@contextlib.contextmanager
def cascade_on_the_server():
    adding = (
        "ALTER TABLE press_booking ADD CONSTRAINT added FOREIGN KEY (slot_id) "
        "REFERENCES press_slot (id) ON DELETE CASCADE"
    )
    with connections[PUBLIC].cursor() as cursor:
        cursor.execute(adding)
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE press_booking DROP CONSTRAINT added")
