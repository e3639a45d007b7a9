"""What is copied, what is removed and what stays, on every kind of server."""

import datetime
import uuid

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.db import connections, models, transaction
from django.test.utils import CaptureQueriesContext

from shoal.publishing import PublishReport, apublish, publish
from shoal.routing import role
from tests.integration.publishing.conftest import only
from tests.integration.publishing.press.models import (
    Article,
    Author,
    Booking,
    Credit,
    Feature,
    Footnote,
    Item,
    Page,
    Place,
    Reply,
    Section,
    Slot,
    Tag,
    Topic,
)

DRAFT, PUBLIC = "press_draft", "press"
BEFORE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)

pytestmark = pytest.mark.usefixtures("press")


def make(model, alias=DRAFT, **values):
    item = model(**values)
    item.save(using=alias)
    return item


def page(slug="a", alias=DRAFT, **values):
    return make(Page, alias, slug=slug, title=values.pop("title", slug), **values)


def rows(model, alias=PUBLIC, *names, **conditions):
    return list(
        models.QuerySet(model, using=alias)
        .filter(**conditions)
        .order_by("pk")
        .values_list(*names)
    )


def same_in_both(model):
    there = rows(model)
    assert there == rows(model, DRAFT)
    return there


def test_object_keeps_its_key_and_every_column():
    Page.objects.using(DRAFT).bulk_create([Page(pk=41, slug="x", title="x")])
    one = page(
        title="by night\u2028",
        data={"a": [1, 1.5, None, "é"], "b": True},
        picture=ContentFile(b"x", name="x.txt").name,
        product_id=77,
    )
    Page.objects.using(DRAFT).filter(pk=one.pk).update(changed=BEFORE)

    report = publish(one)

    assert report == PublishReport(
        cluster="press", source="draft", to="public", created={"press.Page": 1}
    )
    [there] = same_in_both_of(Page, pk=one.pk)
    assert there["changed"] == BEFORE
    assert there["shout"] == "BY NIGHT\u2028"
    assert there["product_id"] == 77
    assert rows(Page, PUBLIC, "pk") == [(one.pk,)]


def same_in_both_of(model, **conditions):
    public, draft = (
        list(models.QuerySet(model, using=alias).filter(**conditions).values())
        for alias in (PUBLIC, DRAFT)
    )
    assert public == draft
    return public


def test_what_the_server_has_is_copied_and_not_what_the_object_in_memory_has():
    one = page(title="saved")
    one.title = "not saved"
    publish(one)
    assert rows(Page, PUBLIC, "title") == [("saved",)]


def test_change_is_copied_and_a_second_time_nothing_is_written(press):
    one, two = page("a"), page("b")
    publish([one, two])
    one.title = "new"
    one.save()

    report = publish([one, two])
    assert report.updated == {"press.Page": 1}
    assert report.unchanged == {"press.Page": 1}
    assert rows(Page, PUBLIC, "title") == [("new",), ("b",)]

    with CaptureQueriesContext(connections[PUBLIC]) as queries:
        again = publish([one, two])
    assert (again.created, again.updated, again.removed) == ({}, {}, {})
    assert not [q for q in queries if q["sql"].startswith(("INSERT", "UPDATE"))]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (None, models.Value(None, models.JSONField())),
        (models.Value(None, models.JSONField()), None),
        ({"a": [1]}, {"a": [True]}),
        ("", None),
    ],
)
def test_json_that_python_calls_equal_is_still_a_change(one, other):
    item = page(data=one)
    publish(item)
    assert nulls_and_texts(PUBLIC) == nulls_and_texts(DRAFT)
    Page.objects.using(DRAFT).update(data=other)
    assert nulls_and_texts(PUBLIC) != nulls_and_texts(DRAFT)
    publish(item)
    assert nulls_and_texts(PUBLIC) == nulls_and_texts(DRAFT)


def nulls_and_texts(alias):
    cast = "text" if connections[alias].vendor != "mysql" else "char"
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT data IS NULL, CAST(data AS {cast}) FROM press_page")
        return cursor.fetchall()


def test_json_numbers_keep_every_digit():
    item = page()
    number = "12345678901234567890.1234567890123456789"
    json = "%s::jsonb" if connections[DRAFT].vendor == "postgresql" else "%s"
    with connections[DRAFT].cursor() as cursor:
        cursor.execute(f"UPDATE press_page SET data = {json}", [f'{{"n": {number}}}'])
    publish(item)
    assert number in nulls_and_texts(PUBLIC)[0][1]


def test_foreign_keys_are_followed_as_far_as_they_go():
    top = make(Topic, name="top")
    middle = make(Topic, name="middle", parent=top)
    make(Topic, name="other")
    editor = make(Author, name="E", email="e@x")

    publish(page(topic=middle, editor=editor))

    assert rows(Topic, PUBLIC, "name", "parent_id") == [
        ("top", None),
        ("middle", top.pk),
    ]
    assert rows(Author, PUBLIC, "email") == [("e@x",)]
    assert rows(Page, PUBLIC, "editor_id") == [("e@x",)]


def test_ring_of_foreign_keys():
    one = page()
    section = make(Section, page=one, position=1)
    one.lead = section
    one.save()
    publish(section)
    assert same_in_both(Section)
    assert rows(Page, PUBLIC, "lead_id") == [(section.pk,)]


def test_objects_that_refer_to_themselves_and_each_other():
    own = make(Topic, name="own")
    own.parent = own
    own.save()
    second = make(Topic, name="second")
    first = make(Topic, name="first", parent=second)
    second.parent = first
    second.save()
    publish([own, first])
    assert len(same_in_both(Topic)) == 3


def test_parents_of_a_child_and_what_those_refer_to():
    topic = make(Topic, name="t")
    story = make(Feature, slug="a", title="a", topic=topic, byline="b", colour="red")
    story.tags.set([make(Tag, name="tag")])
    report = publish(story)
    assert report.created == {
        "press.Article": 1,
        "press.Feature": 1,
        "press.Page": 1,
        "press.Page_tags": 1,
        "press.Tag": 1,
        "press.Topic": 1,
    }
    [found] = Feature.objects.using(PUBLIC)
    assert (found.pk, found.title, found.byline, found.colour) == (
        story.pk,
        "a",
        "b",
        "red",
    )
    Article.objects.using(DRAFT).update(byline="new")
    report = publish(story)
    assert report.updated == {"press.Article": 1}
    assert Feature.objects.using(PUBLIC).get().byline == "new"


def test_parent_alone_leaves_the_child_of_the_target_alone():
    story = make(Article, slug="a", title="a", byline="b")
    publish(story)
    Article.objects.using(DRAFT).update(byline="later", title="now")
    publish(Page.objects.filter(pk=story.pk))
    assert Article.objects.using(PUBLIC).get().byline == "b"
    assert Article.objects.using(PUBLIC).get().title == "now"


def test_links_become_those_of_the_source():
    kept, gone, new = (make(Tag, name=name) for name in ("kept", "gone", "new"))
    one, other = page("a"), page("b")
    one.tags.set([kept, gone])
    other.tags.set([gone])
    publish([one, other])
    one.tags.set([kept, new])

    report = publish(one)

    assert report.created == {"press.Page_tags": 1, "press.Tag": 1}
    assert report.removed == {"press.Page_tags": 1}
    names = Tag.objects.using(PUBLIC).order_by("name").values_list("name", flat=True)
    assert list(names.filter(pages=one.pk)) == ["kept", "new"]
    assert list(names.filter(pages=other.pk)) == ["gone"]


def test_links_are_the_same_whatever_keys_their_rows_have():
    """Link rows of the two editions have keys of their own, which may coincide."""
    tags = [make(Tag, name=name) for name in "xy"]
    strangers = [make(Tag, PUBLIC, name=f"s{n}") for n in range(3)]
    stranger = page("s", PUBLIC, pk=900)
    stranger.tags.set(strangers)
    one = page("a")
    one.tags.set(tags)
    publish(one)
    assert Tag.objects.using(PUBLIC).filter(pages=stranger.pk).count() == 3
    assert Tag.objects.using(PUBLIC).filter(pages=one.pk).count() == 2
    stranger.tags.add(tags[0].pk)
    assert Tag.objects.using(PUBLIC).filter(pages=stranger.pk).count() == 4


def test_links_to_oneself_go_both_ways():
    one, two, three = page("a"), page("b"), page("c")
    one.related.set([two, three])
    publish(one)
    through = Page.related.through
    assert rows(through, PUBLIC, "from_page_id", "to_page_id") == rows(
        through, DRAFT, "from_page_id", "to_page_id"
    )
    one.related.remove(three)
    publish(one)
    assert sorted(rows(through, PUBLIC, "from_page_id", "to_page_id")) == [
        (one.pk, two.pk),
        (two.pk, one.pk),
    ]


def test_links_with_a_model_of_their_own():
    one = page()
    a, b, c = (make(Author, name=n, email=n) for n in "abc")
    for author in (a, b):
        make(Credit, page=one, author=author, job="text")
    publish(one)
    assert len(same_in_both(Credit)) == 2
    Credit.objects.using(DRAFT).filter(author=a).delete()
    Credit.objects.using(DRAFT).filter(author=b).update(job="photo")
    make(Credit, page=one, author=c, job="text")

    report = publish(one)

    assert same_in_both(Credit)
    assert report.created == {"press.Author": 1, "press.Credit": 1}
    assert report.updated == {"press.Credit": 1}
    assert report.removed == {"press.Credit": 1}
    assert len(rows(Author)) == 3


def test_link_that_the_target_has_under_another_key_is_replaced():
    author = make(Author, name="a", email="a")
    make(Credit, page=page("b"), author=author, job="text")
    one = page("a")
    make(Credit, page=one, author=author, job="text")
    publish(author)
    page("a", PUBLIC, pk=one.pk)
    make(Credit, PUBLIC, page_id=one.pk, author_id=author.pk, job="made here")
    publish(one)
    assert rows(Credit) == rows(Credit, DRAFT, page=one.pk)


def test_relations_that_include_names():
    one = page()
    first = make(Section, page=one, position=1)
    second = make(Section, page=one, position=2)
    note = make(Footnote, section=first, text="x")
    publish(one)
    assert rows(Section) == []
    publish(one, include=["sections"])
    assert len(same_in_both(Section)) == 2
    assert rows(Footnote) == []
    report = publish(one, include=["sections__footnotes"])
    assert report.created == {"press.Footnote": 1}
    assert rows(Footnote, PUBLIC, "pk", "section_id") == [(note.pk, first.pk)]

    second.delete()
    note.delete()
    report = publish(one, include=["sections__footnotes"])
    assert report.removed == {"press.Footnote": 1, "press.Section": 1}
    assert same_in_both(Section)


def test_removal_of_a_child_takes_along_what_hangs_on_it():
    one = page()
    section = make(Section, page=one, position=1)
    make(Footnote, section=section, text="x")
    publish(one, include=["sections__footnotes"])
    section.delete()
    report = publish(one, include=["sections"])
    assert report.removed == {"press.Footnote": 1, "press.Section": 1}


def test_child_that_moved_to_an_object_not_published_leaves_the_published_one():
    one, two = page("a"), page("b")
    section = make(Section, page=one, position=1)
    publish([one, two], include=["sections"])
    section.page = two
    section.text = "secret still"
    section.save()
    publish(one, include=["sections"])
    assert rows(Section) == []
    publish(two, include=["sections"])
    assert rows(Section, PUBLIC, "page_id") == [(two.pk,)]


def test_moved_child_that_something_published_refers_to_moves():
    one, two = page("a"), page("b")
    section = make(Section, page=one, position=1)
    publish([one, two], include=["sections"])
    Section.objects.using(DRAFT).update(page=two)
    Page.objects.using(DRAFT).filter(pk=one.pk).update(lead=section)
    publish(one, include=["sections"])
    assert rows(Section, PUBLIC, "page_id") == [(two.pk,)]


def test_removed_child_was_referred_to_by_the_parent_with_cascade():
    """The parent must have let go of it before it is deleted there."""
    one = page()
    first = make(Section, page=one, position=1)
    second = make(Section, page=one, position=2)
    one.lead = first
    one.save()
    publish(one, include=["sections"])
    Page.objects.using(DRAFT).update(lead=second)
    first.delete()
    publish(one, include=["sections"])
    assert rows(Page, PUBLIC, "lead_id") == [(second.pk,)]
    assert rows(Section, PUBLIC, "pk") == [(second.pk,)]


def test_include_reaches_children_parents_and_links_either_way():
    topic = make(Topic, name="t")
    sub = make(Topic, name="sub", parent=topic)
    tag = make(Tag, name="tag")
    story = make(Article, slug="a", title="a", topic=topic, byline="b")
    make(Section, page=story, position=1)
    story.tags.add(tag)
    other = page("b")
    other.tags.add(tag)

    publish(tag, include=["pages__article", "pages__topic__sub", "pages__sections"])

    assert len(same_in_both(Page)) == 2
    assert same_in_both(Article)
    assert rows(Topic, PUBLIC, "pk") == [(topic.pk,), (sub.pk,)]
    assert same_in_both(Section)
    other.tags.clear()
    report = publish(tag, include=["pages"])
    assert report.removed == {"press.Page_tags": 1}


def test_include_through_a_child_of_a_parent():
    story = make(Feature, slug="a", title="a", byline="b", colour="c")
    make(Section, page=story, position=1)
    publish(story, include=["sections"])
    assert same_in_both(Section)


def test_include_of_links_with_a_model_of_their_own():
    one = page()
    author = make(Author, name="a", email="a")
    make(Credit, page=one, author=author, job="x")
    publish(author, include=["page_set"])
    assert same_in_both(Credit)
    assert len(same_in_both(Page)) == 1


def test_several_models_at_a_time_and_an_iterator():
    publish(iter([page(), make(Place, row=1, seat=2, name="x")]))
    assert same_in_both(Place)
    assert same_in_both(Page)


def test_composite_primary_key():
    places = [make(Place, row=r, seat=s, name="x") for r in (1, 2) for s in (1, 2)]
    publish(Place.objects.filter(row=1))
    assert rows(Place, PUBLIC, "row", "seat") == [(1, 1), (1, 2)]
    Place.objects.using(DRAFT).filter(row=1, seat=2).update(name="new")
    report = publish(places)
    assert report.created == {"press.Place": 2}
    assert report.updated == {"press.Place": 1}
    assert same_in_both(Place)


def test_rows_that_managers_hide_are_copied():
    hidden = make(Item, hidden=True)
    shown = make(Item, about=hidden)
    publish(shown)
    assert rows(Item, PUBLIC, "hidden") == [(True,), (False,)]


def test_queryset_is_asked_on_the_source_whatever_the_role():
    page("a", title="ready")
    page("b", title="not")
    page("c", PUBLIC, title="ready", pk=70)
    with role("press", "public"):
        publish(Page.objects.filter(title="ready"))
    assert sorted(rows(Page, PUBLIC, "slug")) == [("a",), ("c",)]


def test_queryset_that_was_evaluated_is_asked_again():
    queryset = Page.objects.filter(title="ready")
    assert not queryset
    page("a", title="ready")
    publish(queryset)
    assert rows(Page, PUBLIC, "slug") == [("a",)]


def test_queryset_may_say_which_edition_chooses():
    one = page("a", title="draft's")
    publish(one)
    Page.objects.using(DRAFT).update(title="new")
    page("b", title="draft's")
    publish(Page.objects.using(PUBLIC).filter(title="draft's"))
    assert rows(Page, PUBLIC, "slug", "title") == [("a", "new")]


@pytest.mark.parametrize(
    "queryset",
    [
        lambda: Page.objects.order_by("-slug")[:2],
        lambda: Page.objects.filter(slug="b").union(Page.objects.filter(slug="c")),
        lambda: Page.objects.filter(tags__name="t").distinct(),
        lambda: Page.objects.exclude(slug="a").select_related("topic").only("slug"),
        lambda: Page.objects.annotate(n=models.Count("tags")).filter(n__gt=0),
    ],
)
def test_querysets_of_every_kind(queryset):
    tags = [make(Tag, name="t"), make(Tag, name="t")]
    page("a")
    for slug in "bc":
        page(slug).tags.set(tags)
    publish(queryset())
    assert sorted(rows(Page, PUBLIC, "slug")) == [("b",), ("c",)]


def test_nothing_to_publish():
    report = publish(Page.objects.none())
    assert report.created == {}
    assert str(publish([])) == "Published from 'draft' to 'public': nothing changed."


def test_back_from_public_to_draft():
    one = page("a", PUBLIC)
    report = publish(one, source="public", to="draft")
    assert str(report) == ("Published from 'public' to 'draft': press.Page 1 created.")
    assert same_in_both(Page)


def test_row_made_in_the_target_afterwards_gets_a_free_key():
    pages = [page("a"), page("b"), page("c")]
    publish(pages)
    with role("press", "public"):
        assert page("d", PUBLIC).pk > pages[-1].pk


@only("postgresql", "mariadb")
def test_sequence_of_the_target_never_goes_back():
    """On SQLite, keys are free again when the last rows are gone."""
    one = page("a")
    for number in range(one.pk + 3):
        last = page(f"p{number}", PUBLIC).pk
    Page.objects.using(PUBLIC).all().delete()
    publish(one)
    assert page("d", PUBLIC).pk == last + 1


def test_unique_values_swapped_between_published_objects():
    one, two = make(Slot, number=1), make(Slot, number=2)
    publish([one, two])
    slots = Slot.objects.using(DRAFT)
    slots.filter(pk=one.pk).update(number=9)
    slots.filter(pk=two.pk).update(number=1)
    slots.filter(pk=one.pk).update(number=2, title="new")
    make(Booking, PUBLIC, slot_id=one.pk)

    report = publish(slots.all())

    assert report.updated == {"press.Slot": 2}
    assert same_in_both(Slot)
    assert rows(Booking, PUBLIC, "slot_id") == [(one.pk,)]


def test_unique_value_of_a_changed_object_taken_by_a_new_one():
    one = make(Slot, number=1)
    publish(one)
    Slot.objects.using(DRAFT).update(number=2)
    two = make(Slot, number=1)
    publish([one, two])
    assert same_in_both(Slot)


def test_children_change_places_after_one_was_removed():
    one = page()
    sections = [make(Section, page=one, position=n) for n in (1, 2, 3)]
    publish(one, include=["sections"])
    sections[0].delete()
    for section in sections[1:]:
        section.position -= 1
        section.save()
    report = publish(one, include=["sections"])
    assert same_in_both(Section)
    assert report.updated == {"press.Section": 2}
    assert report.removed == {"press.Section": 1}


def test_signals_of_saving_are_not_sent():
    one = page()
    seen = []

    def receive(sender, **kwargs):
        seen.append(sender)

    signals = [models.signals.pre_save, models.signals.post_save]
    for signal in signals:
        signal.connect(receive)
    try:
        publish(one)
    finally:
        for signal in signals:
            signal.disconnect(receive)
    assert seen == []
    assert len(rows(Page)) == 1


def test_source_stays_as_it_is():
    one = page()
    make(Section, page=one, position=1)
    before = rows(Page, DRAFT), rows(Section, DRAFT)
    publish(one, include=["sections"])
    assert (rows(Page, DRAFT), rows(Section, DRAFT)) == before


def test_objects_of_the_target_that_were_not_named_stay():
    other = page("other", PUBLIC, pk=500)
    make(Section, PUBLIC, page_id=other.pk, position=1, pk=500)
    publish(page("a"), include=["sections"])
    assert len(rows(Page)) == 2
    assert len(rows(Section)) == 1


def test_within_a_transaction_that_is_rolled_back():
    one = page()
    with transaction.atomic(using=PUBLIC):
        publish(one)
        assert len(rows(Page)) == 1
        transaction.set_rollback(True, using=PUBLIC)
    assert rows(Page) == []


def test_async_twin():
    one = page()
    report = async_to_sync(apublish)(one, include=["sections"])
    assert report.created == {"press.Page": 1}
    assert len(rows(Page)) == 1


def test_report_as_text_and_as_plain_values():
    one = page()
    one.tags.add(make(Tag, name="t"))
    publish(one)
    one.tags.clear()
    one.title = "new"
    one.save()
    report = publish(one)
    assert str(report) == (
        "Published from 'draft' to 'public': press.Page 1 updated; "
        "press.Page_tags 1 removed."
    )
    assert report.as_dict() == {
        "action": "publish",
        "cluster": "press",
        "source": "draft",
        "to": "public",
        "created": {},
        "updated": {"press.Page": 1},
        "removed": {"press.Page_tags": 1},
        "unchanged": {},
    }


def test_uuid_keys():
    key = uuid.uuid4()
    publish(make(Tag, id=key, name="x"))
    assert rows(Tag, PUBLIC, "id") == [(key,)]


def test_reply_of_a_visitor_keeps_its_section():
    one = page()
    section = make(Section, page=one, position=1)
    publish(one, include=["sections"])
    make(Reply, PUBLIC, section_id=section.pk)
    section.text = "new"
    section.save()
    publish(one, include=["sections"])
    assert rows(Reply, PUBLIC, "section__text") == [("new",)]
