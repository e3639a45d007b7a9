"""Takes a visit, kills a process in the middle of a unit of work, and recovers."""

import re
from concurrent.futures import ThreadPoolExecutor

from smoke.visit import SHARDS, Visit, expect
from visitor import Page, Visitor

PATH = "/staff/crash/"
KEPT = {
    "written": ["no"],
    "prepared": ["no"],
    "decided": ["yes"],
    "committed": ["yes"],
}
IN_DOUBT = {"written": [0], "prepared": [1, 2], "decided": [2], "committed": [0, 1]}
"""How many servers are left prepared: two prepare, and commit, side by side."""


def killed_in_the_middle(visit: Visit) -> str:
    """At each step: what is in doubt, then recovered, is on all servers or on none."""
    visit.get(PATH, "Kill it in the middle", "Nothing is in doubt")
    told = []
    for step, numbers in IN_DOUBT.items():
        page = visit.me.submit(PATH, kill=1, step=step)
        visit.check(page, "The process was killed", "What the three servers say")
        number = page.count("data-doubt=")
        locked = {"accounts_user", "reviews_review"} if step == "decided" else set()
        expect(all(table in page.text for table in locked), "no table is locked")
        expect(number in numbers, f"after {step}: {number} servers are in doubt")
        if step == "decided":
            expect(prepared(visit) == number, f"the page shows {number} in doubt")
        visit.eventually(lambda: nobody_is_at_work(visit))
        page = visit.me.post(page.path, page.token, recover=1)
        is_kept(visit, page, step)
        told.append(f"{step} {number}")
    page = visit.me.submit(PATH, recover=1)
    visit.check(page, "Nothing was in doubt.")
    return f"in doubt, after {', '.join(told)}; none after recover"


def two_in_doubt_at_once(visit: Visit) -> str:
    """Two are killed before anybody recovers: one press ends both."""
    pages = [visit.me.submit(PATH, kill=1, step="decided") for _ in range(2)]
    units = set(re.findall(r'data-unit="(\w+)"', pages[1].html))
    expect(len(units) in (1, 2), f"{len(units)} units are in doubt")
    recovered = visit.me.post(pages[1].path, pages[1].token, recover=1)
    visit.check(recovered, "has decided to commit", "Nothing is in doubt")
    again = visit.me.post(pages[1].path, pages[1].token, recover=1)
    visit.check(again, "Nothing was in doubt.", "The three agree")
    counted_right(visit)
    return f"{len(units)} units in doubt, none after recover"


def pressed_by_several(visit: Visit) -> str:
    """Two kill and two recover at the same time; afterwards nothing is in doubt."""
    presses = [{"kill": 1, "step": "decided"}, {"recover": 1}] * 2

    def press(fields: dict[str, object]) -> Page:
        other = Visitor(visit.address)
        other.cookies = dict(visit.me.cookies)
        return other.submit(PATH, **fields)

    with ThreadPoolExecutor(len(presses)) as threads:
        pages = list(threads.map(press, presses))
    for page in pages:
        visit.check(page, "Kill it in the middle")
    visit.check(visit.me.submit(PATH, recover=1), "Nothing is in doubt")
    expect(prepared(visit) == 0, "something is left prepared")
    counted_right(visit)
    return "two killed, two recovered, none in doubt"


def is_kept(visit: Visit, page: Page, step: str) -> None:
    visit.check(page, "Nothing is in doubt", "The three agree")
    kept = re.findall(r'data-agree="yes" data-review="(\w+)"', page.html)
    expect(kept == KEPT[step], f"after {step}, the review is there: {kept}")
    expect(prepared(visit) == 0, f"after {step}, something is left prepared")
    counted_right(visit)


def nobody_is_at_work(visit: Visit) -> None:
    """No server does any more what the process that was killed has told it last."""
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND state <> 'idle' AND pid <> pg_backend_pid()"
    )
    number = on_all(visit, sql)
    expect(number == 0, f"{number} sessions are at work")


def prepared(visit: Visit) -> int:
    """Ask each server itself."""
    return on_all(visit, "SELECT count(*) FROM pg_prepared_xacts")


def on_all(visit: Visit, sql: str) -> int:
    every = ("products", "accounts", *SHARDS)
    return sum(visit.number(server, sql) for server in every)


def counted_right(visit: Visit) -> None:
    """All reviews there are, are counted by their films and by their authors."""
    count = visit.number("reviews", "SELECT count(*) FROM reviews_review")
    of_films = visit.number(
        "products", "SELECT sum(review_count) FROM products_product"
    )
    expect(of_films == count, f"films count {of_films} reviews of {count}")
    named = "SELECT count(author_id) FROM reviews_review"
    of_people = visit.number("accounts", "SELECT sum(review_count) FROM accounts_user")
    expect(of_people == visit.number("reviews", named), f"people count {of_people}")
