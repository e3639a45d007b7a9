"""The main flows of the demo, on a phone and on a desktop."""

import secrets

import pytest

from tests.browser.screen import Screen

pytestmark = pytest.mark.browser

MATRIX = "/films/2571/"
PASSWORD = "herring and sprat 47"
LONG_TITLE = "/films/95165/"


@pytest.fixture
def name() -> str:
    return f"visitor-{secrets.token_hex(4)}"


def sign_up(screen: Screen, name: str) -> None:
    screen.open("/account/signup/")
    screen.fill("#id_username", name)
    screen.fill("#id_display_name", "A visitor")
    screen.fill("#id_password1", PASSWORD)
    screen.fill("#id_password2", PASSWORD)
    screen.press("main button")


def rate(screen: Screen, half_stars: int, words: str) -> None:
    screen.find(f"label[for=id_half_stars_{half_stars - 1}]").click()
    screen.fill("#id_text", words)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_front_page(screen: Screen, scheme: str) -> None:
    screen.colours(scheme)
    screen.open("/")
    assert len(screen.all(".card")) == 12
    assert len(screen.all("article.review")) == 6
    screen.shoot(f"home-{scheme}")


def test_the_panel_is_folded_and_tells_who_answered(screen: Screen) -> None:
    screen.open(MATRIX)
    summary = screen.find(".queries summary")
    assert "servers" in summary.text
    assert not screen.find(".queries ol").is_displayed()
    summary.click()
    roles = {
        (line.get_attribute("data-cluster"), line.get_attribute("data-role"))
        for line in screen.all(".queries li")
    }
    assert roles >= {("products", "replica"), ("reviews", "shard")}
    shards = {
        line.get_attribute("data-server")
        for line in screen.all(".queries li[data-cluster=reviews]")
    }
    assert len(shards) == 1
    screen.shows("One shard: product_id is the key, and says where the rows are.")
    screen.shoot("panel")


@pytest.mark.parametrize("path", ["/", "/people/reviewer17/"])
def test_the_panel_tells_what_each_shard_answered(screen: Screen, path: str) -> None:
    screen.open(path)
    screen.find(".queries summary").click()
    shards = {
        part.get_attribute("data-server")
        for part in screen.all(".queries li[data-event=query_scattered] li")
        if part.get_attribute("data-role") == "shard"
    }
    assert shards == {f"reviews_{number}" for number in range(4)}
    screen.shows("merged from 4 shards")
    screen.shows("Each shard answered its part, and the parts were merged")
    screen.shows("6 rows" if path == "/" else "20 rows")
    screen.shoot("panel-person" if "people" in path else "panel-home")


def test_each_page_says_where_it_came_from(screen: Screen) -> None:
    screen.open(MATRIX)
    films, reviews = (line.text for line in screen.all(".source"))
    assert films.startswith("Films came from replica products_r")
    assert reviews.startswith("Reviews came from one shard, reviews_")
    screen.open("/")
    merged = "Reviews came from 4 shards, and were merged."
    assert merged in [line.text for line in screen.all(".source")]
    screen.allowed.append("404")
    screen.open("/no/such/page/")
    assert screen.all(".source") == []


def test_search_filter_order_and_page(screen: Screen) -> None:
    screen.open("/")
    screen.fill("#find", "star")
    screen.press(".find button")
    screen.shows("films for “star”")
    screen.find("#id_genre option[value='Sci-Fi']").click()
    screen.find("#id_order option[value=new]").click()
    screen.press(".filters button")
    assert "q=star" in screen.path
    assert "genre=Sci-Fi" in screen.path
    screen.shoot("search")
    screen.open("/films/")
    screen.follow("Next")
    screen.shows("Page 2 of 378")
    screen.shoot("browse")


def test_nothing_found_and_nothing_there(screen: Screen) -> None:
    screen.open("/films/?q=qqqqqq")
    screen.shows("No film matches “qqqqqq”")
    screen.shoot("nothing-found")
    screen.allowed.append("404")
    screen.open("/no/such/page/")
    screen.shows("Not here")
    screen.shoot("not-found")
    screen.open("/films/?q=star&page=999")
    screen.follow("Go to the last page")
    assert "q=star" in screen.path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_film(screen: Screen, scheme: str) -> None:
    screen.colours(scheme)
    screen.open(MATRIX)
    assert len(screen.all("article.review")) == 10
    assert len(screen.all(".bars li")) == 10
    screen.shoot(f"film-{scheme}")
    screen.follow("Next")
    screen.shows("Page 2 of")


def test_a_very_long_title(screen: Screen) -> None:
    screen.open(LONG_TITLE)
    screen.shows("Strongest Guy in The World")
    screen.shoot("long-title")
    screen.open("/films/?q=dragon+ball&order=title")
    screen.shoot("long-titles")


def test_another_person(screen: Screen) -> None:
    screen.open("/people/reviewer17/")
    assert len(screen.all("article.review")) == 20
    screen.shoot("person")


def test_sign_up_write_edit_and_delete(screen: Screen, name: str) -> None:
    screen.open(MATRIX)
    screen.follow("Write a review")
    screen.shows("Log in")
    screen.shoot("login")
    sign_up(screen, name)
    screen.shows("Welcome, A visitor")
    screen.shoot("account-empty")
    screen.open(f"{MATRIX}review/")
    rate(screen, 9, "Better than I remembered.\n\nThe music too.")
    assert screen.find(".chosen").text == "4.5 of 5"
    screen.shoot("write")
    screen.press("main button")
    screen.shows("Your review has been saved")
    screen.shows("Better than I remembered.")
    [reason] = {
        line.get_attribute("data-reason")
        for line in screen.all(".source[data-cluster=products]")
    }
    assert reason in ("caught up", "not caught up")
    screen.shoot("film-own")
    screen.follow("Edit your review")
    rate(screen, 6, "On second thoughts.")
    screen.press("main button")
    screen.shows("You gave it 3.0")
    screen.follow("Account")
    screen.shows("On second thoughts.")
    screen.shoot("account")
    screen.follow("Delete")
    screen.shows("Delete your review?")
    screen.shoot("delete")
    screen.press("main button")
    screen.shows("Your review has been deleted")
    screen.press("header form button.link")
    screen.shows("Sign up")


def test_what_was_filled_in_wrongly_is_said(screen: Screen, name: str) -> None:
    screen.open("/account/signup/")
    screen.fill("#id_username", f"{name} with spaces")
    screen.fill("#id_password1", "12345678")
    screen.fill("#id_password2", "87654321")
    screen.press("main button")
    screen.shows("Enter a valid username")
    assert screen.find("#id_username").get_attribute("aria-invalid") == "true"
    screen.shoot("signup-wrong")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forms_in_both_colours(screen: Screen, name: str, scheme: str) -> None:
    screen.colours(scheme)
    sign_up(screen, name)
    screen.open(f"{MATRIX}review/")
    rate(screen, 7, "Fine.")
    screen.shoot(f"form-{scheme}")


def test_the_keyboard_reaches_the_content_at_once(screen: Screen) -> None:
    screen.open("/")
    screen.find("body").send_keys("\ue004")
    skip = screen.chrome.switch_to.active_element
    assert skip.text == "Skip to the content"
    assert skip.rect["x"] >= 0
    skip.send_keys("\ue007")
    assert screen.chrome.switch_to.active_element.get_attribute("id") == "content"


def test_admin(screen: Screen) -> None:
    screen.open("/admin/")
    screen.fill("#id_username", "staff")
    screen.fill("#id_password", "shoal-demo")
    screen.find("#login-form [type=submit]").click()
    screen.open("/admin/reviews/review/")
    screen.shows("Words of the review, or the title of a film, or a user name.")
    assert len(screen.all("#result_list tbody tr")) == 50
    assert int(screen.find(".paginator").text.split()[-2]) > 100_000
    screen.find(".queries summary").click()
    screen.shoot("admin-list")
    screen.open("/admin/reviews/review/?q=matrix")
    assert "The Matrix" in screen.text
    screen.find(".queries summary").click()
    screen.shoot("admin")


def log_in_as_staff(screen: Screen) -> None:
    screen.open("/account/login/")
    screen.fill("#id_username", "staff")
    screen.fill("#id_password", "shoal-demo")
    screen.press("main button")


def test_the_panel_lists_the_unit_of_a_review(screen: Screen, name: str) -> None:
    sign_up(screen, name)
    screen.open(f"{MATRIX}review/")
    rate(screen, 8, "All or nothing.")
    screen.press("main button")
    assert "one unit of work on 3 servers" in screen.find(".queries summary").text
    screen.find(".queries summary").click()
    [unit] = screen.all(".queries .unit")
    assert "were written in one unit of work: all of them, or none." in unit.text
    home = unit.get_attribute("data-home")
    assert f"{home} decided." in unit.text
    servers = (unit.get_attribute("data-servers") or "").split()
    assert {"products", "accounts"} < set(servers)
    steps = [step.get_attribute("data-step") for step in screen.all(".unit .steps li")]
    assert steps[:4] == ["written", "prepared", "prepared", "decided"]
    for span in ("prepare", "decide", "commit"):
        assert span in screen.find(".unit .spans").text
    screen.shoot("panel-unit")
    screen.open(MATRIX)
    assert screen.all(".queries .unit") == []


@pytest.mark.parametrize(
    ("step", "in_doubt", "kept"),
    [
        ("written", {0}, "no"),
        ("prepared", {1, 2}, "no"),
        ("decided", {2}, "yes"),
        ("committed", {0, 1}, "yes"),
    ],
)
def test_killed_in_the_middle_and_recovered(
    screen: Screen, step: str, in_doubt: set[int], kept: str
) -> None:
    log_in_as_staff(screen)
    screen.follow("Crash")
    screen.shows("Nothing is in doubt.")
    screen.shoot("crash-begin")
    screen.find(f"#id_step option[value={step}]").click()
    screen.press("button[name=kill]")
    screen.shows("The process was killed")
    branches = screen.all("tr[data-doubt]")
    assert len(branches) in in_doubt
    for branch in branches:
        assert "reviews_review" in branch.text or "accounts_user" in branch.text
    screen.shoot(f"crash-{step}")
    screen.press("button[name=recover]")
    screen.shows("Nothing is in doubt.")
    said = screen.find("section[data-agree]")
    assert said.get_attribute("data-agree") == "yes"
    assert said.get_attribute("data-review") == kept
    screen.shoot(f"crash-{step}-recovered")
    screen.press("button[name=recover]")
    screen.shows("Nothing was in doubt.")
    assert len(screen.all("tr[data-doubt]")) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_crashes_in_both_colours(screen: Screen, scheme: str) -> None:
    screen.colours(scheme)
    log_in_as_staff(screen)
    screen.open("/staff/crash/")
    screen.find("#id_step option[value=decided]").click()
    screen.press("button[name=kill]")
    screen.shoot(f"crash-{scheme}")
    screen.press("button[name=recover]")
    screen.shows("The three agree")
