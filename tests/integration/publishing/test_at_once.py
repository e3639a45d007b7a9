"""Publishing while others write, several at a time, and much at a time."""

import contextlib
import threading

from django.db import connections, models
from django.test.utils import CaptureQueriesContext

from shoal.publishing import publish, unpublish
from tests.integration.publishing.conftest import only
from tests.integration.publishing.press.models import Article, Page, Section, Tag, Topic
from tests.waiting import until

DRAFT, PUBLIC = "press_draft", "press"
WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mariadb": "SELECT count(*) FROM information_schema.processlist "
    "WHERE state LIKE 'User lock%'",
}


def page(slug="a", title="old"):
    item = Page(slug=slug, title=title)
    item.save(using=DRAFT)
    return item


def in_a_thread(function, *args):
    """Run it with connections of its own, closed at the end."""
    failures = []

    def run():
        try:
            function(*args)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.failures = failures
    thread.start()
    return thread


def finish(*threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
        assert thread.failures == []


@contextlib.contextmanager
def before_statement(alias, text, act):
    """Call `act` once, before the first statement that contains the text."""
    left = [act]

    def wrapper(execute, sql, params, many, context):
        if left and text in sql:
            left.pop()()
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(wrapper):
        yield
    assert not left


def change(title):
    Page.objects.using(DRAFT).update(title=title)
    Section.objects.using(DRAFT).update(text=title)


def state():
    pages = models.QuerySet(Page, using=PUBLIC).values_list("title", flat=True)
    sections = models.QuerySet(Section, using=PUBLIC).values_list("text", flat=True)
    return [*pages, *sections]


@only("postgresql", "mariadb")
def test_source_is_read_as_of_one_moment(press):
    """On SQLite, nobody writes while another reads."""
    one = page()
    Section(page=one, position=1, text="old").save(using=DRAFT)

    def meanwhile():
        finish(in_a_thread(change, "new"))

    with before_statement(DRAFT, "press_section", meanwhile):
        publish(one, include=["sections"])
    assert state() == ["old", "old"]
    publish(one, include=["sections"])
    assert state() == ["new", "new"]


def test_older_state_never_overwrites_a_newer_one(press):
    """Two publish at once: the second waits, and so has read later, too."""
    one = page()
    Section(page=one, position=1, text="old").save(using=DRAFT)
    threads = []

    def meanwhile():
        change("new")
        threads.append(in_a_thread(publish_all))
        if press in WAITING:
            until(lambda: somebody_waits(WAITING[press]))

    with before_statement(PUBLIC, "INSERT", meanwhile):
        publish_all()
    finish(*threads)
    assert state() == ["new", "new"]


def publish_all():
    publish(Page.objects.all(), include=["sections"])


def somebody_waits(question):
    with connections[PUBLIC].cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def test_many_at_once(press):
    for number in range(20):
        page(f"p{number}")
    threads = [in_a_thread(publish_all) for _ in range(4)]
    finish(*threads)
    assert len(state()) == 20


def fill(number):
    """Make articles with a topic, tags and sections each."""
    topics = [Topic(name=f"t{n}") for n in range(5)]
    Topic.objects.using(DRAFT).bulk_create(topics)
    tags = [Tag(name=f"t{n}") for n in range(5)]
    Tag.objects.using(DRAFT).bulk_create(tags)
    first = Page.objects.using(DRAFT).count()
    for n in range(first, first + number):
        Article(
            slug=f"s{n}", title=f"t{n}", byline="b", topic=topics[n % 5], data={"n": n}
        ).save(using=DRAFT)
    pages = list(Page.objects.using(DRAFT))
    Page.tags.through.objects.using(DRAFT).bulk_create(
        [Page.tags.through(page=p, tag=tags[p.pk % 5]) for p in pages]
    )
    Section.objects.using(DRAFT).bulk_create(
        [Section(page=p, position=n, text="x") for p in pages for n in (1, 2)]
    )


def statements(act):
    with (
        CaptureQueriesContext(connections[PUBLIC]) as there,
        CaptureQueriesContext(connections[DRAFT]) as here,
    ):
        act()
    return len(there), len(here)


def publish_articles():
    return publish(Article.objects.all(), include=["sections"])


def test_statements_do_not_grow_with_the_number_of_objects(press):
    counts = []
    for number in (2, 60):
        for alias in (DRAFT, PUBLIC):
            for model in (Section, Page, Topic, Tag):
                models.QuerySet(model, using=alias).all().delete()
        fill(number)
        first = statements(publish_articles)
        for model in (Article, Page):
            models.QuerySet(model, using=DRAFT).update(title="new")
        changed = statements(publish_articles)
        Section.objects.using(DRAFT).filter(position=2).delete()
        removed = statements(publish_articles)
        gone = statements(lambda: unpublish(Article.objects.all()))
        counts.append((first, changed, removed, gone))
    assert counts[0] == counts[1]


def test_more_objects_than_go_into_one_statement(press):
    Page.objects.using(DRAFT).bulk_create(
        [Page(slug=f"s{n}", title="x", data={"n": n}) for n in range(2100)]
    )
    report = publish(Page.objects.all())
    assert report.created == {"press.Page": 2100}
    assert models.QuerySet(Page, using=PUBLIC).count() == 2100
    Page.objects.using(DRAFT).update(title="new")
    assert publish(Page.objects.all()).updated == {"press.Page": 2100}
    assert unpublish(Page.objects.all()).removed == {"press.Page": 2100}
    assert state() == []


def test_texts_larger_than_a_packet(press):
    Section.objects.using(DRAFT).bulk_create(
        [Section(page=page(), position=n, text="x" * 1_500_000) for n in range(1)]
    )
    one = Page.objects.using(DRAFT).get()
    for n in range(2, 14):
        Section(page=one, position=n, text="y" * 1_500_000).save(using=DRAFT)
    publish(one, include=["sections"])
    assert models.QuerySet(Section, using=PUBLIC).count() == 13
