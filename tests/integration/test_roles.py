"""Roles on two real editions: what is read and written where, and what never leaks."""

import asyncio
import copy
import functools
import itertools
import json
import threading

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import connections, models, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from shoal.errors import SettingsError, UnknownCluster, UnknownRole
from shoal.routing import role
from shoal.routing.context import EMPTY, current
from tests.project.pages.models import Article, Page, Section, Topic
from tests.project.urls import urlpatterns as views_of_the_project

PUBLIC, DRAFT = "pages", "pages_draft"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("urls")]


@pytest.fixture(autouse=True)
def two_pages(db):
    """Put a page of its own into each edition, past the router."""
    for alias in (PUBLIC, DRAFT):
        insert(alias, f"in {alias}")


def in_a_loop(test):
    """Let pytest see a function where a coroutine is to run."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        return async_to_sync(test)(*args, **kwargs)

    return run


def insert(alias, title):
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "INSERT INTO pages_page (title, changed) VALUES (%s, now())", [title]
        )


def stored(alias, table="pages_page", column="title"):
    """Ask the server of the alias itself, past the router."""
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} ORDER BY id")
        return [value for (value,) in cursor.fetchall()]


def titles():
    return list(Page.objects.order_by("pk").values_list("title", flat=True))


async def atitles():
    return [page.title async for page in Page.objects.order_by("pk")]


IN_PUBLIC, IN_DRAFT = [f"in {PUBLIC}"], [f"in {DRAFT}"]


def test_without_a_role_it_is_the_cluster_itself():
    assert titles() == IN_PUBLIC
    Page.objects.create(title="new")
    assert stored(PUBLIC) == [*IN_PUBLIC, "new"]
    assert stored(DRAFT) == IN_DRAFT


def test_context_manager_reads_and_writes_its_edition():
    with role("pages", "draft"):
        assert titles() == IN_DRAFT
        Page.objects.create(title="created")
        Page.objects.bulk_create([Page(title="bulk")])
        Page.objects.filter(title="bulk").update(title="updated")
        Page.objects.filter(title=IN_DRAFT[0]).delete()
        assert titles() == ["created", "updated"]
    assert stored(DRAFT) == ["created", "updated"]
    assert stored(PUBLIC) == titles() == IN_PUBLIC


def test_role_that_the_cluster_has_anyway():
    with role("pages", "draft"), role("pages", "public"):
        assert titles() == IN_PUBLIC


def test_nested_roles_end_one_by_one():
    with role("pages", "draft"):
        with role("pages", "public"):
            assert titles() == IN_PUBLIC
            with role("pages", "draft"):
                assert titles() == IN_DRAFT
            assert titles() == IN_PUBLIC
        assert titles() == IN_DRAFT
    assert titles() == IN_PUBLIC


def test_role_ends_when_something_is_raised():
    with pytest.raises(KeyError), role("pages", "draft"):
        raise KeyError
    assert titles() == IN_PUBLIC

    @role("pages", "draft")
    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert titles() == IN_PUBLIC
    assert current().roles == EMPTY.roles


def test_one_scope_used_again_and_within_itself():
    draft = role("pages", "draft")
    for _ in range(2):
        with draft:
            assert titles() == IN_DRAFT
            with draft:
                assert titles() == IN_DRAFT
            assert titles() == IN_DRAFT
        assert titles() == IN_PUBLIC


def test_decorator():
    @role("pages", "draft")
    def of_draft():
        """Say what it says."""
        return titles()

    assert of_draft() == IN_DRAFT
    assert titles() == IN_PUBLIC
    assert of_draft.__name__ == "of_draft"
    assert of_draft.__doc__ == "Say what it says."


def test_decorator_of_a_function_that_calls_itself():
    @role("pages", "draft")
    def down(depth):
        below = down(depth - 1) if depth else []
        return [*below, *titles()]

    assert down(2) == IN_DRAFT * 3
    assert titles() == IN_PUBLIC


def test_generators_are_refused_by_the_decorator():
    with pytest.raises(TypeError, match=r"Use `with role\(\.\.\.\)` inside it"):

        @role("pages", "draft")
        def each():
            yield from titles()


@in_a_loop
async def test_async_with():
    async with role("pages", "draft"):
        assert await atitles() == IN_DRAFT
        await Page.objects.acreate(title="new")
    assert await atitles() == IN_PUBLIC
    assert await sync_to_async(stored)(DRAFT) == [*IN_DRAFT, "new"]


@in_a_loop
async def test_plain_with_in_a_coroutine():
    with role("pages", "draft"):
        assert await atitles() == IN_DRAFT
    assert await atitles() == IN_PUBLIC


@in_a_loop
async def test_decorated_coroutine():
    @role("pages", "draft")
    async def of_draft():
        await asyncio.sleep(0)
        return await atitles()

    assert await of_draft() == IN_DRAFT
    assert await atitles() == IN_PUBLIC


@in_a_loop
async def test_coroutines_side_by_side_keep_to_their_roles():
    """Each step of one comes between two steps of the other."""
    turns = {"public": asyncio.Event(), "draft": asyncio.Event()}
    turns["public"].set()

    async def work(mine, other):
        seen = []
        async with role("pages", mine):
            for number in range(5):
                await turns[mine].wait()
                turns[mine].clear()
                seen += await atitles()
                await Section.objects.acreate(
                    text=f"{mine} {number}", page=await Page.objects.afirst()
                )
                turns[other].set()
        return seen

    seen = await asyncio.gather(work("public", "draft"), work("draft", "public"))

    assert seen == [IN_PUBLIC * 5, IN_DRAFT * 5]
    for alias, name in ((PUBLIC, "public"), (DRAFT, "draft")):
        texts = await sync_to_async(stored)(alias, "pages_section", "text")
        assert texts == [f"{name} {number}" for number in range(5)]
    assert await atitles() == IN_PUBLIC


@in_a_loop
async def test_task_keeps_the_role_in_which_it_was_started():
    started = asyncio.Event()

    async def work():
        await started.wait()
        return await atitles()

    with role("pages", "draft"):
        task = asyncio.create_task(work())
    started.set()
    assert await task == IN_DRAFT
    assert await atitles() == IN_PUBLIC


@in_a_loop
async def test_sync_code_called_from_a_coroutine_has_its_role():
    async with role("pages", "draft"):
        assert await sync_to_async(titles)() == IN_DRAFT
    assert await sync_to_async(titles)() == IN_PUBLIC


@pytest.mark.django_db(transaction=True)
def test_threads_side_by_side_keep_to_their_roles():
    """All threads read while all hold their roles, several times."""
    names = ["public", "draft"] * 2
    barrier = threading.Barrier(len(names), timeout=20)
    seen = {}

    def work(index, name):
        try:
            with role("pages", name):
                for number in range(5):
                    barrier.wait()
                    seen[index, number] = titles()
            barrier.wait()
            seen[index, "after"] = titles()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=item) for item in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    for index, name in enumerate(names):
        mine = IN_DRAFT if name == "draft" else IN_PUBLIC
        assert [seen[index, number] for number in range(5)] == [mine] * 5
        assert seen[index, "after"] == IN_PUBLIC


@pytest.mark.django_db(transaction=True)
def test_new_thread_begins_without_a_role():
    seen = []

    def work():
        seen.append(titles())
        connections.close_all()

    with role("pages", "draft"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
    assert seen == [IN_PUBLIC]


def test_draft_saved_outside_its_role_stays_a_draft():
    with role("pages", "draft"):
        page = Page.objects.get()
    page.title = "changed"
    page.save()
    assert (stored(DRAFT), stored(PUBLIC)) == (["changed"], IN_PUBLIC)
    page.refresh_from_db()
    assert page.title == "changed"
    with role("pages", "public"):
        page.delete()
    assert (stored(DRAFT), stored(PUBLIC)) == ([], IN_PUBLIC)


@in_a_loop
async def test_draft_saved_outside_its_role_in_a_coroutine():
    async with role("pages", "draft"):
        page = await Page.objects.aget()
    page.title = "changed"
    await page.asave()
    assert await sync_to_async(stored)(DRAFT) == ["changed"]
    assert await sync_to_async(stored)(PUBLIC) == IN_PUBLIC


def test_multi_table_child_stays_where_it_was_loaded():
    with role("pages", "draft"):
        Article.objects.create(title="story", byline="b")
        article = Article.objects.get()
    article.title = "changed"
    article.save()
    assert stored(DRAFT) == [*IN_DRAFT, "changed"]
    assert stored(PUBLIC) == IN_PUBLIC
    assert article.page_ptr.title == "changed"


def test_queryset_goes_where_it_is_evaluated():
    with role("pages", "draft"):
        queryset = Page.objects.values_list("title", flat=True)
    assert list(queryset) == IN_PUBLIC


def test_using_wins_over_the_role():
    with role("pages", "draft"):
        assert Page.objects.using(PUBLIC).get().title == IN_PUBLIC[0]


def test_relations_of_a_draft_are_read_and_written_in_draft():
    with role("pages", "draft"):
        page = Page.objects.get()
        page.topic = Topic.objects.create(name="draft's topic")
        page.save()
        Section.objects.create(page=page, text="one")
        page = Page.objects.get()
    page.sections.create(text="two")
    page.topics.create(name="tag")
    page.topics.add(page.topic)

    assert sorted(s.text for s in page.sections.all()) == ["one", "two"]
    assert sorted(t.name for t in page.topics.all()) == ["draft's topic", "tag"]
    assert page.topic.name == "draft's topic"
    assert page.topic.pages.get() == page
    assert page.topic.tagged.count() == 1
    page.topic.sub.create(name="below")
    page.topics.remove(page.topic)
    page.sections.filter(text="one").update(text="three")
    page.sections.get(text="two").delete()

    assert stored(DRAFT, "pages_section", "text") == ["three"]
    assert stored(DRAFT, "pages_topic", "name") == ["draft's topic", "tag", "below"]
    for table in ("pages_section", "pages_topic", "pages_page_topics"):
        assert stored(PUBLIC, table, "id") == []


def test_prefetched_relations_of_drafts():
    with role("pages", "draft"):
        page = Page.objects.get()
        page.sections.create(text="one")
        [page] = Page.objects.prefetch_related("sections")
    assert [section.text for section in page.sections.all()] == ["one"]
    models.prefetch_related_objects([page], "topics")
    [section] = page.sections.all()
    assert section._state.db == DRAFT


def test_get_or_create_and_update_or_create_in_a_role():
    with role("pages", "draft"):
        _, made = Page.objects.get_or_create(title=IN_PUBLIC[0])
        assert made
        Page.objects.update_or_create(title=IN_PUBLIC[0], defaults={"title": "new"})
    assert stored(DRAFT) == [*IN_DRAFT, "new"]
    assert stored(PUBLIC) == IN_PUBLIC


def test_objects_of_two_editions_are_not_related():
    with role("pages", "draft"):
        draft = Page.objects.get()
        topic = Topic.objects.create(name="x")
    public = Page.objects.get()
    with pytest.raises(ValueError, match="prevents this relation"):
        public.topic = topic
    refused = pytest.raises(ValueError, match="instance is on database")
    with refused, transaction.atomic(using=PUBLIC):
        public.topics.add(topic)
    with pytest.raises(ValueError, match="prevents this relation"):
        Section(page=draft).page = public
    draft.topic = topic
    draft.save()
    assert stored(PUBLIC, "pages_page", "topic_id") == [None]


def test_new_object_takes_the_edition_of_what_it_refers_to():
    with role("pages", "draft"):
        draft = Page.objects.get()
    section = Section(page=draft, text="x")
    section.save()
    assert stored(DRAFT, "pages_section", "text") == ["x"]


def test_transaction_of_an_edition():
    with role("pages", "draft"), transaction.atomic(using=DRAFT):
        Page.objects.create(title="new")
        transaction.set_rollback(True, using=DRAFT)
    assert stored(DRAFT) == IN_DRAFT


def test_unknown_names_are_refused_at_once():
    with pytest.raises(UnknownRole) as caught:
        role("pages", "drafts")
    assert str(caught.value) == (
        "The cluster 'pages' has no edition with the role 'drafts'.\n"
        "Hint: Did you mean 'draft'? Known: 'draft', 'public'."
    )
    with pytest.raises(UnknownCluster, match="Did you mean 'pages'"):
        role("page", "draft")
    with pytest.raises(UnknownRole, match='Add "ROLES"'):
        role("catalog", "draft")


# Requests


def nested_view(request: HttpRequest) -> HttpResponse:
    with role("pages", "public"):
        inside = titles()
    return JsonResponse([inside, titles()], safe=False)


def failing_view(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(titles()[0])


def saving_view(request: HttpRequest) -> HttpResponse:
    Page.objects.create(title="saved")
    return HttpResponse()


def leaking_view(request: HttpRequest) -> HttpResponse:
    role("pages", "draft").__enter__()
    return HttpResponse()


def streaming_view(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(json.dumps(titles()) + "\n" for _ in range(3))


async def async_streaming_view(request: HttpRequest) -> StreamingHttpResponse:
    async def parts():
        for _ in range(3):
            yield json.dumps(await atitles()) + "\n"

    return StreamingHttpResponse(parts())


urlpatterns = [
    *views_of_the_project,
    path("nested/", nested_view),
    path("failing/", failing_view),
    path("saving/", saving_view),
    path("leaking/", leaking_view),
    path("streaming/", streaming_view),
    path("async-streaming/", async_streaming_view),
]


@pytest.fixture
def urls():
    with override_settings(ROOT_URLCONF=__name__):
        yield


def as_draft(**more):
    return {"headers": {"X-Role": "draft"}, **more}


@pytest.mark.parametrize("url", ["/titles/", "/async-titles/"])
def test_request_says_its_role(url):
    client = Client()
    assert client.get(url).json() == IN_PUBLIC
    assert client.get(url, **as_draft()).json() == IN_DRAFT
    assert client.get(url, headers={"X-Role": "public"}).json() == IN_PUBLIC
    assert client.get(url).json() == IN_PUBLIC
    assert current().roles == EMPTY.roles


@pytest.mark.parametrize("url", ["/titles/", "/async-titles/"])
@in_a_loop
async def test_request_says_its_role_to_an_async_server(url):
    client = AsyncClient()
    assert (await client.get(url)).json() == IN_PUBLIC
    assert (await client.get(url, **as_draft())).json() == IN_DRAFT
    assert (await client.get(url)).json() == IN_PUBLIC
    assert current().roles == EMPTY.roles


@in_a_loop
async def test_async_requests_side_by_side():
    client = AsyncClient()
    roles = [as_draft(), {}] * 4
    answers = await asyncio.gather(
        *(client.get("/async-titles/", **more) for more in roles)
    )
    assert [answer.json() for answer in answers] == [IN_DRAFT, IN_PUBLIC] * 4


def test_view_in_a_role_that_takes_another_for_a_while():
    assert Client().get("/nested/", **as_draft()).json() == [IN_PUBLIC, IN_DRAFT]


def test_write_of_a_request_goes_to_its_edition():
    Client().post("/saving/", **as_draft())
    assert stored(DRAFT) == [*IN_DRAFT, "saved"]
    assert stored(PUBLIC) == IN_PUBLIC


def test_request_that_fails_leaves_no_role():
    client = Client(raise_request_exception=True)
    with pytest.raises(RuntimeError, match=IN_DRAFT[0]):
        client.get("/failing/", **as_draft())
    assert titles() == IN_PUBLIC
    assert client.get("/titles/").json() == IN_PUBLIC


def test_role_that_a_view_forgot_to_leave_ends_with_the_request():
    client = Client()
    client.get("/leaking/", **as_draft())
    client.get("/leaking/", headers={"X-Role": "public"})
    assert titles() == IN_PUBLIC
    client.get("/leaking/")
    assert titles() == IN_PUBLIC
    assert client.get("/titles/").json() == IN_PUBLIC


def lines(parts):
    return [json.loads(line) for line in b"".join(parts).splitlines()]


def test_streamed_response_stays_in_its_role():
    client = Client()
    assert lines(client.get("/streaming/")) == [IN_PUBLIC] * 3
    assert lines(client.get("/streaming/", **as_draft())) == [IN_DRAFT] * 3
    assert titles() == IN_PUBLIC


def test_two_streamed_responses_read_in_turns():
    client = Client()
    draft = client.get("/streaming/", **as_draft())
    public = client.get("/streaming/")
    parts = list(itertools.chain(*zip(draft, public, strict=True)))
    assert lines(parts) == [IN_DRAFT, IN_PUBLIC] * 3
    assert titles() == IN_PUBLIC


@pytest.mark.django_db(transaction=True)
def test_streamed_response_that_is_closed_half_way():
    response = Client().get("/streaming/", **as_draft())
    parts = iter(response)
    assert lines([next(parts)]) == [IN_DRAFT]
    response.close()
    assert titles() == IN_PUBLIC


@in_a_loop
async def test_streamed_response_of_an_async_server():
    client = AsyncClient()
    answers = []
    for more in ({}, as_draft(), {}):
        response = await client.get("/async-streaming/", **more)
        answers.append(lines([part async for part in response]))
        assert await atitles() == IN_PUBLIC
    assert answers == [[IN_PUBLIC] * 3, [IN_DRAFT] * 3, [IN_PUBLIC] * 3]


@pytest.mark.parametrize("asked", ["drafts", "", "DRAFT"])
def test_unknown_role_of_a_request_is_an_error(asked):
    client = Client()
    with pytest.raises(UnknownRole) as caught:
        client.get("/titles/", headers={"X-Role": asked})
    assert f"no edition with the role {asked!r}" in str(caught.value)
    assert client.get("/titles/").json() == IN_PUBLIC
    assert current().roles == EMPTY.roles


@in_a_loop
async def test_unknown_role_of_an_async_request_is_an_error():
    client = AsyncClient()
    with pytest.raises(UnknownRole, match="'drafts'"):
        await client.get("/async-titles/", headers={"X-Role": "drafts"})
    assert (await client.get("/async-titles/")).json() == IN_PUBLIC


def test_request_without_a_role_is_served_from_the_cluster_itself():
    with role("pages", "draft"):
        assert Client().get("/titles/").json() == IN_PUBLIC
        assert titles() == IN_DRAFT


def with_hook(hook):
    setting = copy.deepcopy(settings.SHOAL)
    setting["CLUSTERS"]["pages"]["REQUEST_ROLE"] = hook
    return override_settings(SHOAL=setting)


async def asked_async(request):
    await asyncio.sleep(0)
    return request.headers.get("X-Role")


def failing_hook(request):
    raise RuntimeError("who are you?")


@in_a_loop
async def test_async_function_that_tells_the_role():
    with with_hook(asked_async):
        client = AsyncClient()
        assert (await client.get("/async-titles/", **as_draft())).json() == IN_DRAFT
        assert (await client.get("/async-titles/")).json() == IN_PUBLIC


def test_async_function_for_a_sync_server_is_an_error():
    with with_hook(asked_async), pytest.raises(SettingsError, match="synchronously"):
        Client().get("/titles/")


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        ("nowhere.at.all", SettingsError),
        (failing_hook, RuntimeError),
        (lambda request: 3, UnknownRole),
    ],
)
def test_function_that_can_not_tell_the_role(hook, error):
    """Fails closed: never another edition than the one that was to be told."""
    with with_hook(hook), pytest.raises(error):
        Client().get("/titles/", **as_draft())
    assert titles() == IN_PUBLIC


def test_function_may_ask_the_database_for_the_role():
    def told_by_the_database(request):
        return "draft" if Page.objects.filter(title=IN_PUBLIC[0]).exists() else None

    with with_hook(told_by_the_database):
        assert Client().get("/titles/").json() == IN_DRAFT
