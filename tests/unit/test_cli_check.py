"""What the commands find and show, without any server."""

import io
import json

import pytest
from django.core.management.base import OutputWrapper
from rich.text import Text

from shoal.cli.check import half_migrated
from shoal.cli.placing import Residents, group
from shoal.cli.screen import Screen

A, B = ("app", "0001"), ("app", "0002")


def everywhere(alias: str, key: object) -> bool:
    return True


def test_what_nobody_has_is_not_half_done() -> None:
    assert half_migrated({"x": [A, B], "y": [A, B]}, everywhere) == {}


def test_names_who_lacks_what_others_have() -> None:
    lacking = {"x": [B], "y": [A, B], "z": [B]}
    assert half_migrated(lacking, everywhere) == {A: (["y"], ["x", "z"])}


def test_a_migration_that_does_nothing_there_is_not_lacking() -> None:
    lacking = {"x": [], "y": [A], "z": [A]}
    found = half_migrated(lacking, lambda alias, key: alias == "z")
    assert found == {A: (["z"], ["x"])}
    assert half_migrated(lacking, lambda alias, key: False) == {}


def test_an_app_is_named_where_it_is_whole_and_its_models_where_it_is_not() -> None:
    homes = {
        "auth": {"accounts": ["auth.User", "auth.Group"]},
        "core": {"accounts": ["core.B", "core.A"], "admin": ["core.C"]},
        "blog": {None: ["blog.Post"]},
    }
    assert group(homes) == {
        "accounts": Residents(apps=("auth",), models=("core.A", "core.B")),
        "admin": Residents(models=("core.C",)),
        None: Residents(apps=("blog",)),
    }
    assert str(group(homes)["accounts"]) == "auth, core.A, core.B"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, **options: bool) -> str:
    screen = Screen(OutputWrapper(stream, ending=""), io.StringIO(), **options)
    screen.out.print(Text("wrong", style="bold red"))
    return stream.getvalue()


@pytest.fixture(autouse=True)
def a_plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_colors_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in shown(Terminal())
    assert shown(io.StringIO()) == "wrong\n"
    assert "\x1b[" in shown(io.StringIO(), force_color=True)
    assert shown(Terminal(), no_color=True) == "wrong\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(Terminal()) == "wrong\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert shown(Terminal()) == "wrong\n"


def test_a_pipe_that_is_told_to_be_colored_by_the_environment_stays_plain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert shown(io.StringIO()) == "wrong\n"


def test_standard_output_holds_one_json_document() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    screen = Screen(OutputWrapper(stdout, ending=""), stderr, is_json=True)
    screen.out.print("a table")
    screen.progress.print("a line")
    screen.talk.write("a handler of a signal")
    screen.data({"ok": True})
    assert json.loads(stdout.getvalue()) == {"ok": True}
    assert stderr.getvalue() == "a line\na handler of a signal\n"


def test_long_lines_stay_whole_where_nobody_says_how_wide_it_is() -> None:
    stream = io.StringIO()
    screen = Screen(OutputWrapper(stream, ending=""), io.StringIO())
    screen.out.print("word " * 30)
    assert stream.getvalue().count("\n") == 1
