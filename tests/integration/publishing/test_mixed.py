"""Editions on two kinds of server, and publishing inside a test's own transaction."""

import pytest
from django.db import connections, models

from shoal.publishing import publish, unpublish
from shoal.routing import role
from tests.integration.publishing.conftest import only
from tests.integration.publishing.press.models import (
    Author,
    Credit,
    Feature,
    Section,
    Tag,
)
from tests.project.pages.models import Page

DRAFT, PUBLIC = "press_draft", "press"


@only("mixed")
def test_from_one_kind_of_server_to_another_and_back(press):
    assert connections[DRAFT].vendor != connections[PUBLIC].vendor
    with role("press", "draft"):
        author = Author.objects.create(name="a", email="a@x")
        story = Feature.objects.create(
            slug="é",
            title="t",
            byline="b",
            colour="c",
            editor=author,
            data={"b": [1.5, None], "a": True},
        )
        story.tags.create(name="tag")
        Credit.objects.create(page=story, author=author, job="x")
        Section.objects.create(page=story, position=1, text="long " * 9)
    before = stored(DRAFT)

    publish(story, include=["sections"])
    assert stored(PUBLIC) == before
    for model in (Feature, Author, Tag):
        models.QuerySet(model, using=DRAFT).all().delete()
    publish(Feature.objects.all(), source="public", to="draft", include=["sections"])
    assert stored(DRAFT) == before


def stored(alias):
    return [
        list(models.QuerySet(model, using=alias).values())
        for model in (Feature, Author, Tag, Credit, Section)
    ]


@pytest.mark.django_db
def test_within_the_transaction_of_a_test():
    """As in anybody's `TestCase`, whose transactions hold both editions."""
    with role("pages", "draft"):
        page = Page.objects.create(title="x")
        page.sections.create(text="one")
        page.topics.create(name="topic")
    report = publish(page, include=["sections"])
    assert report.created == {
        "pages.Page": 1,
        "pages.Page_topics": 1,
        "pages.Section": 1,
        "pages.Topic": 1,
    }
    public = Page.objects.get()
    assert public.sections.get().text == "one"
    assert public.changed == page.changed
    unpublish(page)
    assert not Page.objects.exists()
