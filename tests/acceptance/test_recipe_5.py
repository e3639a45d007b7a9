"""Public and draft pages with publishing; internal and external records by request."""

from typing import Any

import pytest

from tests.acceptance.conftest import Make
from tests.acceptance.projects import Project

PAGES = {"pages_page", "pages_page_tags", "pages_section", "pages_tag", "pages_topic"}
TITLES = "SELECT title FROM pages_page WHERE slug = '{}'"


@pytest.fixture(scope="module")
def project(make: Make) -> Project:
    project = make(
        "recipe_5_editions",
        ACCOUNTS_DB="north",
        SITE_DB="east",
        SITE_DRAFT_DB="west",
        RECORDS_DB="west",
        RECORDS_INTERNAL_DB="east",
    )
    project.manage("shoal", "migrate")
    return project


def test_the_project_is_sound_and_its_migrations_complete(project: Project) -> None:
    assert "no issues" in project.manage("check").stdout
    assert "No changes" in project.manage("makemigrations", "--check").stdout


def test_every_edition_has_the_tables_of_its_cluster(project: Project) -> None:
    assert project["SITE_DB"].tables() == PAGES
    assert project["SITE_DRAFT_DB"].tables() == PAGES
    assert project["RECORDS_DB"].tables() == {"records_record"}
    assert project["RECORDS_INTERNAL_DB"].tables() == {"records_record"}
    assert not PAGES & project["ACCOUNTS_DB"].tables()


def work_as_an_editor(site: Any) -> Any:
    """Write, publish, change and take down a page in the admin; look as a visitor."""
    from django.test import Client

    from shoal.routing import role

    visitor, pages = Client(), "/admin/pages/page/"
    site.client.force_login(site.User.objects.create_superuser("editor"))

    def draft(model: Any, **known: Any) -> Any:
        with role("site", "draft"):
            return model.objects.get(**known).pk

    def seen(client: Any) -> Any:
        page = client.get("/page/hello/")
        return page.json() if page.status_code == 200 else page.status_code

    def save(path: str, title: str, *sections: dict[str, Any]) -> Any:
        old = sum("id" in section for section in sections)
        fields = {"sections-TOTAL_FORMS": len(sections), "sections-INITIAL_FORMS": old}
        for number, section in enumerate(sections):
            fields |= {f"sections-{number}-{k}": v for k, v in section.items()}
        page = {"slug": "hello", "title": title, "topic": topic, "tags": tag}
        return site.post(path, **page, **fields)

    def act(action: str) -> str:
        form = {"action": action, "_selected_action": pk}
        page = site.client.post(pages, form, follow=True)
        return [str(message) for message in page.context["messages"]][-1]

    site.post("/admin/pages/topic/add/", name="News")
    site.post("/admin/pages/tag/add/", name="new")
    topic, tag = draft(site.Topic, name="News"), draft(site.Tag, name="new")
    save(pages + "add/", "Hello", {"text": "One"}, {"text": "Two"})
    pk = draft(site.Page, slug="hello")
    one, two = (
        {"page": pk, "id": draft(site.Section, text=text), "text": "Changed"}
        for text in ("One", "Two")
    )
    found = {"before": [seen(visitor), seen(site.client)]}
    found["published"] = [act("publish"), seen(visitor)]
    save(f"{pages}{pk}/change/", "Hello again", one, two | {"DELETE": "on"})
    found["changed"] = [seen(visitor)["title"], seen(site.client)["title"]]
    found["republished"] = [act("publish"), seen(visitor)]
    found["taken down"] = [act("take_down"), seen(visitor), seen(site.client)["title"]]
    return found


def test_editors_see_drafts_and_visitors_what_is_published(project: Project) -> None:
    found = project.run(work_as_an_editor)
    page = {"title": "Hello", "topic": "News", "tags": ["new"]}
    first, second = {"sections": ["One", "Two"]}, {"sections": ["Changed"]}
    assert found["before"] == [404, page | first]
    assert "Published from 'draft' to 'public'" in found["published"][0]
    assert found["published"][1] == page | first
    assert found["changed"] == ["Hello", "Hello again"]
    assert found["republished"][1] == page | second | {"title": "Hello again"}
    assert found["taken down"][1:] == [404, "Hello again"]
    title = TITLES.format("hello")
    assert project["SITE_DB"].column(title) == []
    assert project["SITE_DRAFT_DB"].column(title) == ["Hello again"]
    # What pages share stays: another page may point to it.
    topics = "SELECT name FROM pages_topic WHERE name = 'News'"
    assert project["SITE_DB"].column(topics) == ["News"]
    log = "SELECT count(*) FROM django_admin_log WHERE object_repr LIKE 'Hello%'"
    assert project["ACCOUNTS_DB"].column(log) == [2]


def draft_pages(site: Any, *slugs: str) -> Any:
    from shoal.routing import role

    with role("site", "draft"):
        topic = site.Topic.objects.create(name=slugs[0])
        for slug in slugs:
            page = site.Page.objects.create(slug=slug, title=slug, topic=topic)
            page.sections.create(text=slug)
    return site.Page.objects.filter(slug__in=slugs).count()


def publish_one(site: Any, slug: str) -> Any:
    from shoal.publishing import publish
    from shoal.routing import role

    with role("site", "draft"):
        report = publish(site.Page.objects.filter(slug=slug), include=["sections"])
        draft = site.Page.objects.get(slug=slug)
    draft.title = "Saved outside"
    draft.save()  # stays a draft, since it was loaded from there
    return [dict(report.created), site.Page.objects.get(slug=slug).title]


def test_a_function_publishes(project: Project) -> None:
    assert project.run(draft_pages, "alpha", "beta") == 0
    created, title = project.run(publish_one, "alpha")
    assert created == {"pages.Page": 1, "pages.Section": 1, "pages.Topic": 1}
    assert title == "alpha"
    assert project["SITE_DB"].column(TITLES.format("alpha")) == ["alpha"]
    assert project["SITE_DB"].column(TITLES.format("beta")) == []
    assert project["SITE_DRAFT_DB"].column(TITLES.format("alpha")) == ["Saved outside"]


def test_a_command_publishes(project: Project) -> None:
    assert project.run(draft_pages, "gamma", "delta") == 0
    ids = "SELECT id FROM pages_page WHERE slug = 'gamma'"
    [gamma] = project["SITE_DRAFT_DB"].column(ids)
    command = ["shoal", "publish", "pages.Page", "--from=draft", "--to=public"]
    done = project.manage(*command[:3], str(gamma), *command[3:], "--include=sections")
    assert "pages.Page 1 created" in done.stdout
    assert project["SITE_DB"].column(TITLES.format("gamma")) == ["gamma"]
    assert project["SITE_DB"].column(TITLES.format("delta")) == []
    texts = "SELECT text FROM pages_section WHERE text = 'gamma'"
    assert project["SITE_DB"].column(texts) == ["gamma"]

    report = project.manage(*command, "--all", "--json").json()
    assert report["created"]["pages.Page"] >= 1
    assert project["SITE_DB"].column(TITLES.format("delta")) == ["delta"]


def test_publishing_to_a_role_that_is_not_there_is_refused(project: Project) -> None:
    command = ["shoal", "publish", "pages.Page", "--from=draft", "--all"]
    done = project.manage(*command, "--to=publik", code=1)
    assert "'site' has no edition with the role 'publik'" in done.stderr
    assert "Did you mean 'public'?" in done.stderr


def ask_from_inside_and_outside(site: Any) -> Any:
    from django.test import Client

    from shoal.routing import role

    site.Record.objects.create(title="Price list")
    with role("records", "internal"):
        site.Record.objects.create(title="Salaries")
    site.client.force_login(site.User.objects.create_superuser("clerk"))
    inside, outside = {"host": "intranet.localhost"}, {"host": "localhost"}
    form = {"title": "From the intranet"}
    saved = site.client.post("/admin/records/record/add/", form, headers=inside)
    visitor = Client()
    found = [
        visitor.get("/records/", headers=host).json()["records"]
        for host in (outside, inside, outside)
    ]
    stranger = visitor.get("/records/", headers={"host": "intranet.example.com"})
    return [saved.status_code, *found, stranger.status_code]


def test_the_host_name_decides_who_sees_internal_records(project: Project) -> None:
    assert project.run(ask_from_inside_and_outside) == [
        302,
        ["Price list"],
        ["From the intranet", "Salaries"],
        ["Price list"],
        400,
    ]
    titles = "SELECT title FROM records_record ORDER BY title"
    assert project["RECORDS_DB"].column(titles) == ["Price list"]
    inside = project["RECORDS_INTERNAL_DB"].column(titles)
    assert inside == ["From the intranet", "Salaries"]


def test_the_projects_tests_pass_with_djangos_runner(project: Project) -> None:
    done = project.manage("test")
    assert "Ran 3 tests" in done.stderr
    assert "OK" in done.stderr
