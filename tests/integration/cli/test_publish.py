"""`manage.py shoal publish` between two editions."""

import pytest

from tests.integration.cli.conftest import Project

WAY = ("--from", "draft", "--to", "public")


def numbers(project: Project, alias: str) -> list[int]:
    return [
        n for (n,) in project.ask(alias, "SELECT number FROM press_issue ORDER BY 1")
    ]


@pytest.fixture
def edited(project: Project) -> Project:
    project.shoal_command("migrate", "-v0")
    project.ask("press", "DELETE FROM press_issue")
    project.ask("press_draft", "UPDATE press_issue SET number = 10 * id")
    return project


def test_publishes_and_removes(edited: Project) -> None:
    done = edited.shoal_command("publish", "press.Issue", "1", *WAY)
    assert done.stdout == (
        "Published from 'draft' to 'public': press.Issue 1 created.\n"
    )
    assert numbers(edited, "press") == [10]
    edited.ask("press_draft", "UPDATE press_issue SET number = number + 1")
    data = edited.shoal_command("publish", "press.issue", "--all", "--json", *WAY).data
    assert data["ok"]
    assert data["created"] == data["updated"] == {"press.Issue": 1}
    assert numbers(edited, "press") == [11, 21]
    done = edited.shoal_command("publish", "press.Issue", "--all", "--delete", *WAY)
    assert done.stdout.startswith("Unpublished from 'public'")
    assert numbers(edited, "press") == []
    assert numbers(edited, "press_draft") == [11, 21]


REFUSED = {
    ("press.Isue", "1", *WAY): (1, "There is no model 'press.Isue'.\nHint: Did you"),
    ("press.Issue", "7", *WAY): (1, "not exist in the edition 'draft'"),
    ("press.Issue", "x", *WAY): (1, "'x' is no primary key of press.Issue"),
    ("library.Book", "--all", *WAY): (1, "'library', which has no ROLES"),
    ("press.Issue", "1", "--from", "drft", "--to", "public"): (1, "role 'drft'"),
    ("press.Issue", *WAY): (2, "give primary keys, or --all"),
    ("press.Issue", "1", "--all", *WAY): (2, "not both"),
    ("press.Issue", "1", "--from", "draft"): (2, "--to"),
}


def test_refuses_what_makes_no_sense(edited: Project) -> None:
    found = edited.each(*(["publish", *argv] for argv in REFUSED))
    for done, (code, said) in zip(found, REFUSED.values(), strict=True):
        assert done.code == code
        assert said in done.stderr
        assert done.stdout == ""
    assert numbers(edited, "press") == []
