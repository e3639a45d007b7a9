"""Takes a visit, reads every page as someone who is not logged in would."""

import re

from smoke.visit import SHARDS, Visit, answered, expect

MATRIX, UNTITLED = 2571, 108548


def front_page(visit: Visit) -> str:
    page = visit.get("/", "Most reviewed", "Latest reviews", "Forrest Gump")
    cards, reviews = (
        page.count('class="card"'),
        page.count('<article class="review'),
    )
    expect((cards, reviews) == (12, 6), f"{cards} films and {reviews} reviews")
    asked = {query.cluster for query in page.queries}
    expect(asked == {"products", "reviews", "accounts"}, f"asked only {asked}")
    visit.merged(page)
    visit.check(page, "Reviews came from 4 shards, and were merged.")
    sent = r"shard of reviews</span>\s*<span class=\"spent\">(\d+) row"
    rows = [int(found) for found in re.findall(sent, page.html)]
    expect(rows == [6] * len(SHARDS), f"shards sent {rows} reviews, to show six")
    return f"{sum(rows)} rows of reviews; {answered(page)}"


def static_files(visit: Visit) -> str:
    kinds = []
    for name in ("site.css", "panel.css", "admin.css", "site.js", "icon.svg"):
        page = visit.get(f"/static/reviewsite/{name}")
        expect(len(page.html) > 100, f"{name} is empty")
        kinds.append(page.kind)
    return ", ".join(kinds)


def browse(visit: Visit) -> str:
    films = visit.number("products", "SELECT count(*) FROM products_product")
    page = visit.get("/films/", f"{films:,} films", "Page 1 of 378")
    roles = {query.role for query in page.queries if query.cluster == "products"}
    expect(roles == {"replica"}, f"films were read from {roles}")
    return answered(page)


def search(visit: Visit) -> str:
    visit.get("/films/?q=the+matrix&order=rating", "The Matrix")
    visit.get("/films/?q=AMELIE", "Amélie")
    page = visit.get("/films/?q=star&genre=Sci-Fi&order=new", "Star Wars", "Sci-Fi")
    visit.get("/films/?q=qqqqq", "No film matches “qqqqq”")
    visit.get("/films/?q=%27%3B--&genre=nonsense&order=nonsense", "films")
    visit.get("/films/?order=title&genre=Film-Noir", "Film-Noir")
    return answered(page)


def paging(visit: Visit) -> str:
    first, second = visit.get("/films/"), visit.get("/films/?page=2", "Page 2 of")
    expect(first.text != second.text, "pages 1 and 2 are the same")
    visit.get("/films/?page=378", "Page 378 of 378")
    for wrong in ("379", "0", "-1", "abc", "9" * 30):
        visit.get(f"/films/?page={wrong}", "only 378 pages", status=404)
    return answered(second)


def product_page(visit: Visit) -> str:
    sql = f"SELECT count(*) FROM reviews_review WHERE product_id = {MATRIX}"
    shard = visit.home_of(MATRIX)
    count = visit.number(shard, sql)
    page = visit.get(f"/films/{MATRIX}/", "The Matrix", f"{count} reviews")
    asked = [query for query in page.queries if query.cluster == "reviews"]
    expect({query.server for query in asked} == {shard}, f"asked {asked}")
    expect({query.event for query in asked} == {"query_on_one_shard"}, f"{asked}")
    visit.check(page, f"Reviews came from one shard, {shard}.")
    expect("product_id is the key" in page.html, "the panel doesn't say why")
    expect(page.count('<article class="review') == 10, "not ten reviews on a page")
    visit.get(f"/films/{MATRIX}/?page=2", "Page 2 of")
    visit.get(f"/films/{MATRIX}/?page=9999", status=404)
    visit.get(f"/films/{UNTITLED}/", "Untitled film 108548", "Year unknown")
    return answered(page)


def another_person(visit: Visit) -> str:
    sql = "SELECT id FROM accounts_user WHERE username = 'reviewer17'"
    person = visit.number("accounts", sql)
    sql = f"SELECT count(*) FROM reviews_review WHERE author_id = {person}"
    count = visit.number("reviews", sql)
    page = visit.get("/people/reviewer17/", "Reviewer 17", f"{count} reviews")
    visit.merged(page)
    visit.get("/people/nobody-of-this-name/", status=404)
    return answered(page)


def not_found(visit: Visit) -> str:
    page = visit.get("/no/such/page/", "Not here", status=404)
    visit.get("/films/999999999/", "Not here", status=404)
    return answered(page)
