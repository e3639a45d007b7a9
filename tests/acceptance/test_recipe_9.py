"""Two nested blocks over two databases, and a failure after the first has committed."""

import signal
from typing import Any

import pytest

from tests.acceptance.conftest import Make
from tests.acceptance.projects import HERE, Project
from tests.integration.docs.pages import DOCS, blocks

PAGE = DOCS / "how-to" / "two-databases-one-transaction.md"
RECIPE = "recipe_9_two_nested_blocks"
DECIDED = "decided"
KILLED_AFTER = {
    # What is there once `shoal recover` has run: 0 orders and 3 left, or 1 and 1.
    "written": (0, 3),
    "prepared": (0, 3),
    DECIDED: (1, 1),
    "committed": (1, 1),
}


@pytest.fixture(scope="module")
def project(make: Make) -> Project:
    project = make(RECIPE, ORDERS_DB="north", STOCK_DB="east")
    project.manage("shoal", "migrate")
    return project


@pytest.fixture
def three_left(project: Project) -> Project:
    project["ORDERS_DB"].ask("TRUNCATE shop_order")
    project["STOCK_DB"].ask("TRUNCATE shop_stock")
    project["STOCK_DB"].ask("INSERT INTO shop_stock VALUES (1, 'net', 3)")
    return project


def there(project: Project) -> tuple[int, int]:
    """Ask each server how many orders there are, and how much is left."""
    [orders] = project["ORDERS_DB"].column("SELECT count(*) FROM shop_order")
    [left] = project["STOCK_DB"].column('SELECT "left" FROM shop_stock')
    return orders, left


def prepared(project: Project) -> int:
    sql = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
    return sum(place.column(sql)[0] for place in project.places.values())


def by_hand(site: Any, number: int) -> Any:
    from shop.by_hand import order

    return site.error(lambda: order("net", number))


def at_once(site: Any, number: int) -> Any:
    from shop.ordering import order

    return site.error(lambda: order("net", number))


def by_hand_in_one_unit(site: Any, number: int) -> Any:
    from shoal.transactions import atomic
    from shop.by_hand import order

    return site.error(lambda: atomic("default", "stock")(order)("net", number))


def killed_by_hand(site: Any) -> Any:
    """Kill this process between the two commits."""
    import os
    import signal

    from django.db import transaction
    from django.db.models.signals import post_save

    from shop.by_hand import order

    def die(**_: Any) -> None:
        transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))

    post_save.connect(die, sender=site.Order)
    order("net", 2)


def killed(site: Any, step: str) -> Any:
    """Kill this process at a step of the commit."""
    import logging
    import os
    import signal

    from shop.ordering import order

    class Dies(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "event", "") == step:
                os.kill(os.getpid(), signal.SIGKILL)

    log = logging.getLogger("shoal.transactions")
    log.setLevel(logging.DEBUG)
    log.addHandler(Dies())
    order("net", 2)


def test_plain_django_leaves_one_side_committed(three_left: Project) -> None:
    error = three_left.run(by_hand, 5)
    assert error.startswith("IntegrityError: ")
    assert "stock_is_left" in error
    assert there(three_left) == (1, 3), "an order for what is not there"


@pytest.mark.parametrize("order", [at_once, by_hand_in_one_unit])
def test_one_unit_leaves_neither(three_left: Project, order: Any) -> None:
    error = three_left.run(order, 5)
    assert error.startswith("IntegrityError: ")
    assert "stock_is_left" in error
    assert there(three_left) == (0, 3)
    assert three_left.run(order, 2) is None
    assert there(three_left) == (1, 1)
    assert prepared(three_left) == 0


def test_plain_django_is_killed_between_two_commits(three_left: Project) -> None:
    run_to_death(three_left, killed_by_hand)
    assert there(three_left) == (1, 3)


@pytest.mark.parametrize("step", KILLED_AFTER)
def test_a_unit_is_killed_and_recovered(three_left: Project, step: str) -> None:
    run_to_death(three_left, killed, step)
    if step == DECIDED:
        assert prepared(three_left) == 1
        assert there(three_left) in [(1, 3), (0, 1)], "one side is not told yet"
    three_left.manage("shoal", "recover")
    assert there(three_left) == KILLED_AFTER[step]
    assert prepared(three_left) == 0


def run_to_death(project: Project, function: Any, *arguments: Any) -> None:
    done = project.start(function, *arguments)
    assert done.code == -signal.SIGKILL, done.output


def test_its_own_tests_pass(project: Project) -> None:
    done = project.python("-W", "error", "manage.py", "test", "--no-input")
    assert done.code == 0, done.output
    assert "Ran 3 tests" in done.output


def test_the_project_is_sound_and_its_migrations_complete(project: Project) -> None:
    assert "no issues" in project.manage("check").stdout
    assert "No changes" in project.manage("makemigrations", "--check").stdout


def test_the_page_has_the_code_of_the_recipe() -> None:
    shown = {one.path: one.text.partition("\n")[2] for one in blocks(PAGE) if one.path}
    of_recipe = {path: text for path, text in shown.items() if path.startswith("shop/")}
    assert {*of_recipe} == {
        "shop/models.py",
        "shop/by_hand.py",
        "shop/ordering.py",
        "shop/tests.py",
    }
    for path, text in of_recipe.items():
        assert text.strip() == (HERE / RECIPE / path).read_text().strip(), path
