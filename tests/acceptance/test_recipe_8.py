"""A visitor posts, is redirected and sees it, with every replica far behind."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from shoal.lab import Lab
from tests.acceptance.conftest import Make
from tests.acceptance.projects import Place, Project
from tests.acceptance.serving import Visitor, served

REPLICAS = ("north_replica", "east_replica")
TEXTS = "SELECT text FROM reviews_review ORDER BY id"
WAYS = [
    # Where the middleware is, and the seconds that a replica may be behind: what shows
    # a write must not be that the replica was left out for its lag.
    pytest.param({"ROUTING": "first"}, id="first"),
    pytest.param({"ROUTING": "last", "MAX_LAG": "3600"}, id="last-and-any-lag"),
]


@pytest.fixture(scope="module")
def project(make: Make, lab: Lab) -> Project:
    accounts = Place.new(lab["north"], "recipe_8_accounts")
    reviews = Place.new(lab["east"], "recipe_8_reviews")
    project = make(
        "recipe_8_post_and_redirect",
        ACCOUNTS_DB=accounts,
        ACCOUNTS_REPLICA_DB=accounts.on(lab["north_replica"]),
        REVIEWS_DB=reviews,
        REVIEWS_REPLICA_DB=reviews.on(lab["east_replica"]),
    )
    project.manage("shoal", "migrate")
    project.run(sign_up, "ann", "bob")
    return project


def sign_up(site: Any, *names: str) -> Any:
    for name in names:
        site.User.objects.create_user(name, password="herring")


@pytest.fixture
def one_review(project: Project, lab: Lab) -> None:
    project["REVIEWS_DB"].ask(
        "TRUNCATE reviews_review; "
        "INSERT INTO reviews_review (author, text) VALUES ('bob', 'Old')"
    )
    for name in REPLICAS:
        lab[name].wait_until_replayed()


@contextmanager
def far_behind(lab: Lab) -> Iterator[None]:
    with ExitStack() as stack:
        for name in REPLICAS:
            stack.enter_context(lab[name].replay_paused())
        yield


@pytest.mark.parametrize("environ", WAYS)
@pytest.mark.usefixtures("one_review")
def test_over_http(project: Project, lab: Lab, environ: dict[str, str]) -> None:
    with served(project, **environ) as address:
        ann, bob, guest = (Visitor(address) for _ in range(3))
        bob.log_in("bob", "herring")
        for name in REPLICAS:
            lab[name].wait_until_replayed()
        with far_behind(lab):
            post_and_see(ann)
            assert project["REVIEWS_REPLICA_DB"].column(TEXTS) == ["Old"]
            for visitor, name in ((bob, "bob"), (guest, "")):
                sees_the_old(visitor, name)
            log_out(ann)
        eventually_reads_from_the_replica(lab, ann)


def post_and_see(ann: Visitor) -> None:
    page = ann.log_in("ann", "herring")
    assert page["visitor"] == "ann"
    assert page["reviews"] == ["Old"]
    assert page["read_from"] == {
        "accounts": ["accounts", "not caught up"],
        "reviews": ["reviews_replica", "any replica"],
    }
    page = ann.post("/reviews/", text="New")
    assert page["said"] == ["Thank you."]
    for path in ("/reviews/", "/areviews/") * 3:
        assert page["visitor"] == "ann"
        assert page["reviews"] == ["Old", "New"]
        assert page["read_from"] == {
            "accounts": ["accounts", "not caught up"],
            "reviews": ["reviews", "not caught up"],
        }
        page = ann.get(path)
        assert page["said"] == [], "what was shown is not shown again"


def sees_the_old(visitor: Visitor, name: str) -> None:
    for path in ("/reviews/", "/areviews/") * 2:
        page = visitor.get(path)
        assert page["visitor"] == name
        assert page["reviews"] == ["Old"]
        found = {alias for alias, _ in page["read_from"].values()}
        assert found == {"reviews_replica", *(["accounts_replica"] if name else [])}


def log_out(ann: Visitor) -> None:
    [session] = [one for one in ann.jar if one.name == "sessionid"]
    page = ann.post("/logout/")
    assert page["visitor"] == ""
    assert page["reviews"] == ["Old", "New"]
    # Also a window that still has the cookie of the session is logged out.
    ann.jar.set_cookie(session)
    assert ann.get("/reviews/")["visitor"] == ""


def eventually_reads_from_the_replica(lab: Lab, ann: Visitor) -> None:
    for name in REPLICAS:
        lab[name].wait_until_replayed()
    until = time.monotonic() + 60
    page = ann.get("/reviews/")
    while page["read_from"]["reviews"][1] != "caught up" and time.monotonic() < until:
        page = ann.get("/reviews/")
    assert page["read_from"]["reviews"] == ["reviews_replica", "caught up"]
    assert page["reviews"] == ["Old", "New"]


def flow(site: Any) -> Any:
    import asyncio

    from django.test import AsyncClient

    async def page(client: Any, path: str) -> Any:
        return (await client.get(path)).json()

    async def main() -> Any:
        ann, guest = AsyncClient(), AsyncClient()
        form = {"username": "ann", "password": "herring"}
        logged_in: Any = await ann.post("/login/", form)
        found = [await page(ann, logged_in.url)]
        posted: Any = await ann.post("/reviews/", {"text": "New"})
        found += [await page(ann, posted.url), await page(ann, "/areviews/")]
        both = asyncio.gather(page(ann, "/areviews/"), page(guest, "/areviews/"))
        return [*found, *await both]

    return asyncio.run(main())


@pytest.mark.parametrize("environ", WAYS)
@pytest.mark.usefixtures("one_review")
def test_under_asgi(project: Project, lab: Lab, environ: dict[str, str]) -> None:
    with far_behind(lab):
        *mine, guests = project.run(flow, **environ)
    assert [page["visitor"] for page in mine] == ["ann"] * 4
    assert [page["reviews"] for page in mine] == [["Old"], *[["Old", "New"]] * 3]
    assert [page["said"] for page in mine] == [[], ["Thank you."], [], []]
    assert {page["read_from"]["accounts"][0] for page in mine} == {"accounts"}
    assert mine[0]["read_from"]["reviews"][0] == "reviews_replica"
    assert guests["reviews"] == ["Old"]
    assert guests["read_from"] == {"reviews": ["reviews_replica", "any replica"]}


def test_the_project_is_sound_and_its_migrations_complete(project: Project) -> None:
    assert "no issues" in project.manage("check").stdout
    assert "No changes" in project.manage("makemigrations", "--check").stdout
