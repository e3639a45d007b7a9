"""Import from a lower floor only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import shoal

ROOT = Path(shoal.__file__).parent
FLOORS = {
    "errors": 0,
    "types": 0,
    "conf": 1,
    "models": 1,
    "migrations": 2,
    "topology": 2,
    "placement": 3,
    "routing": 4,
    "publishing": 5,
    "sharding": 5,
    "transactions": 5,
    "backends": 6,
    "evenness": 7,
    "checks": 8,
    "contrib": 8,
    "server_checks": 8,
    "cli": 8,
    "testing": 8,
    "lab": 8,
    "management": 9,
    "apps": 9,
}
MODULES = sorted(ROOT.rglob("*.py"))


def stage_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every stage of Shoal that a module imports, inside functions too."""
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{path} imports relatively"
            if statement.module == "shoal":
                yield from (alias.name for alias in statement.names)
            elif (statement.module or "").startswith("shoal."):
                yield str(statement.module).split(".")[1]
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.name.startswith("shoal."):
                    yield alias.name.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    stage = stage_of(path)
    if stage == "__init__":
        assert list(imported(path)) == []
        return
    climbs = {
        other
        for other in imported(path)
        if other not in (stage, "__version__") and FLOORS[other] >= FLOORS[stage]
    }
    assert climbs <= ALLOWED.get(stage, set()), f"{path} climbs to {climbs}"


ALLOWED = {
    "server_checks": {"checks"},
    "testing": {"lab"},
    "cli": {"checks"},
    "transactions": {"sharding"},
}
"""Neighbours on one floor that know each other in this direction only."""


def test_every_stage_has_a_floor() -> None:
    stages = {stage_of(path) for path in MODULES} - {"__init__"}
    assert stages <= set(FLOORS)


@pytest.mark.parametrize(
    "package",
    [path for path in MODULES if path.name == "__init__.py"],
    ids=lambda p: str(p.parent.relative_to(ROOT)),
)
def test_no_module_takes_the_name_of_what_its_package_exports(package: Path) -> None:
    """Whoever imported the module would find it where others find the export."""
    name = ".".join(("shoal", *package.parent.relative_to(ROOT).parts))
    modules = {path.stem for path in package.parent.iterdir()}
    for statement in ast.parse(package.read_text()).body:
        if isinstance(statement, ast.ImportFrom) and statement.module != name:
            exported = {alias.asname or alias.name for alias in statement.names}
            taken = exported & modules
            # A module that is loaded here, before the name is bound, hides nothing.
            assert all(statement.module == f"{name}.{one}" for one in taken), taken
