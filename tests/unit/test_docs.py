"""The docs and the code name the same things, and what the docs show is sound."""

import argparse
import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from tests.integration.docs.pages import DOCS, ROOT, Block, blocks, commands, pages

from shoal import errors
from shoal.conf import SHARDED_ENGINE, parse
from shoal.conf.parser import CLUSTER_KEYS, KEYS
from shoal.management.commands.shoal import SUBCOMMANDS

REFERENCE = DOCS / "reference"
STAGES = {
    "shoal.lab": "lab",
    "shoal.publishing": "publishing",
    "shoal.routing": "routing",
    "shoal.testing": "testing",
    "shoal.transactions.saga": "saga",
}
"""The public stages, and the page of each."""
WITHIN = {"WEIGHT"}
"""Settings one level further down."""
PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
_CHECK_ID = re.compile(r'"(?:shoal\.)?([EWI]\d{3})"')
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)


def headings(page: Path, level: int = 0) -> list[str]:
    """Return the headings of a page; those of one level, if it is given."""
    text = _FENCED.sub("", page.read_text())
    found = re.findall(r"^(#+) (.+)$", text, re.MULTILINE)
    return [title for marks, title in found if level in (0, len(marks))]


def anchor(heading: str) -> str:
    """Return the anchor that MyST and forges give a heading."""
    bare = re.sub(r"[^\w\- ]", "", heading.lower())
    return bare.replace(" ", "-")


def test_each_setting_has_a_heading_and_each_heading_a_setting() -> None:
    keys = {*KEYS, *CLUSTER_KEYS} | WITHIN
    found = [title for title in headings(REFERENCE / "settings.md") if title.isupper()]
    assert sorted(found) == sorted(keys)


def test_each_check_has_a_heading_and_each_heading_a_check() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    ids = {f"shoal.{id}" for id in _CHECK_ID.findall(source)}
    titles = headings(REFERENCE / "checks.md", 2)
    found = [title for title in titles if title.startswith("shoal.")]
    assert sorted(found) == sorted(ids)


def test_each_error_has_a_heading_and_each_heading_an_error() -> None:
    classes = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    ]
    assert sorted(headings(REFERENCE / "errors.md", 2)) == sorted(classes)


def test_each_command_has_a_heading_and_each_heading_a_command() -> None:
    wanted = [f"shoal {name}" for name in SUBCOMMANDS]
    assert sorted(headings(REFERENCE / "commands.md", 2)) == sorted(wanted)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_each_option_of_a_command_is_described(name: str) -> None:
    parser = argparse.ArgumentParser()
    SUBCOMMANDS[name][0].add_arguments(parser)
    real = {
        word
        for action in parser._actions
        for word in action.option_strings
        if word.startswith("--")
    }
    page = (REFERENCE / "commands.md").read_text()
    section = page.partition(f"## shoal {name}\n")[2].partition("\n## ")[0]
    described = set(re.findall(r"--[a-z][a-z-]+", section))
    assert described - {"--json"} == real - {"--help"}


@pytest.mark.parametrize("stage", STAGES)
def test_each_public_name_has_a_heading_and_each_heading_a_name(stage: str) -> None:
    public = importlib.import_module(stage).__all__
    assert list(public) == sorted(public)
    found = headings(REFERENCE / f"{STAGES[stage]}.md", 2)
    names = [title for title in found if re.fullmatch(r"[\w]+", title)]
    assert sorted({*names} - {"Limits"}) == sorted(public)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCED.sub("", page.read_text())):
        path, _, fragment = link.partition("#")
        assert ":" not in path, f"{link} leaves the docs"
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if fragment:
            assert fragment in map(anchor, headings(target)), link


@pytest.mark.parametrize("page", PAGES)
def test_code_is_sound(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, f"{page.name}:{block.line}", "exec")
        elif block.language == "console":
            assert commands(block), f"{page.name}:{block.line} has no command"


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_shown_have_no_problems(page: Path) -> None:
    databases: dict[str, dict[str, str]] = {}
    for block in blocks(page):
        if block.language != "python" or not settings_in(block):
            continue
        shown = settings_in(block)
        databases = as_databases(shown["DATABASES"]) if "DATABASES" in shown else {}
        if "SHOAL" in shown:
            known = databases or as_databases(aliases_in(shown["SHOAL"]))
            _, problems = parse(ast.literal_eval(shown["SHOAL"]), known)
            assert not problems, f"{page.name}:{block.line}"


def settings_in(block: Block) -> dict[str, ast.expr]:
    """Return what a block binds DATABASES and SHOAL to."""
    return {
        target.id: statement.value
        for statement in ast.parse(block.text).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and target.id in ("DATABASES", "SHOAL")
    }


def as_databases(shown: ast.expr) -> dict[str, dict[str, str]]:
    """Return the aliases of a literal, one engine for all that say nothing else."""
    if not isinstance(shown, ast.Dict):
        return {}
    empty = ast.dump(ast.Dict(keys=[], values=[]))
    return {
        str(ast.literal_eval(key)): {} if ast.dump(value) == empty else engine_of(value)
        for key, value in zip(shown.keys, shown.values, strict=True)
        if key is not None
    }


def engine_of(shown: ast.expr) -> dict[str, str]:
    is_sharded = SHARDED_ENGINE in ast.unparse(shown)
    return {"ENGINE": SHARDED_ENGINE if is_sharded else "django.db.backends.postgresql"}


def aliases_in(shown: ast.expr) -> ast.expr:
    """Return, as a dict, each alias that a SHOAL without DATABASES names."""
    names = {
        node.value
        for node in ast.walk(shown)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return ast.parse(repr(dict.fromkeys(names, 0)), mode="eval").body


def test_the_readme_describes_clusters() -> None:
    shown = [settings_in(b) for b in blocks(ROOT / "README.md") if b.path]
    (settings,) = [found for found in shown if "SHOAL" in found]
    conf, _ = parse(
        ast.literal_eval(settings["SHOAL"]), as_databases(settings["DATABASES"])
    )
    assert list(conf.clusters) == ["default", "reviews", "analytics"]
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_page_is_in_the_contents() -> None:
    listed: set[Path] = set()
    for contents in (DOCS / "index.md", DOCS / "explanation/decisions/index.md"):
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", contents.read_text(), re.S):
            entries = re.findall(r"^[\w/-]+$", tree, re.MULTILINE)
            listed |= {contents.parent / f"{entry}.md" for entry in entries}
    written = {page for page in pages() if page.is_relative_to(DOCS)}
    assert written - {DOCS / "index.md"} == listed


def test_a_wrong_page_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` c.d\n\n```python\n# no heading\nx = (\n```\n## E-f g\n")
    assert headings(page) == ["A `b` c.d", "E-f g"]
    assert [anchor(title) for title in headings(page)] == ["a-b-cd", "e-f-g"]
    with pytest.raises(SyntaxError):
        test_code_is_sound(page)
