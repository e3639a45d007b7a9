"""Takes a visit, goes through the admin, and looks where its changes landed."""

from smoke.visit import REVIEWS, SHARDS, Visit, answered, expect
from visitor import Visitor

MATRIX, AMELIE, TOY_STORY = 2571, 4973, 1
PASSWORD = "shoal-demo"
RATED = {
    "half_stars": 1,
    "text": "Moderated.",
    "created_0": "2017-01-01",
    "created_1": "12:00:00",
}


def admin_products(visit: Visit) -> str:
    visit.me = Visitor(visit.address)
    visit.check(visit.me.get("/admin/"), "Log in")
    form = {"username": "staff", "password": PASSWORD, "next": "/admin/"}
    page = visit.me.submit("/admin/login/", **form)
    visit.check(page, "Products", "Reviews", "Users")
    visit.get("/admin/products/product/?q=toy+story", "Toy Story")
    page = visit.me.submit(
        f"/admin/products/product/{TOY_STORY}/change/",
        title="Toy Story One", sort_title="Toy Story", year=1995, genres=[],
    )  # fmt: skip
    visit.check(page, "was changed successfully")
    visit.only_on("products", "products_product", "title = 'Toy Story One'", 1)
    for server in visit.replicas:
        server.wait_until_replayed()
    visit.get(f"/films/{TOY_STORY}/", "Toy Story One")
    return answered(page)


def admin_reviews(visit: Visit) -> str:
    shard = visit.home_of(MATRIX)
    sql = "SELECT min(id) FROM reviews_review WHERE product_id = %d"
    review = visit.number(shard, sql % MATRIX)
    count = visit.number(REVIEWS, "SELECT count(*) FROM reviews_review")
    for asked in ("p=1", "p=40", "half_stars__exact=10&o=-4.3", "created__year=2016"):
        page = visit.get(f"/admin/reviews/review/?{asked}", "Reviewer", str(count))
        visit.merged(page)
    page = visit.get("/admin/reviews/review/?q=matrix", "The Matrix", "Reviewer")
    visit.merged(page)
    path = f"/admin/reviews/review/{review}/change/"
    form = visit.get(path, "The Matrix")
    there = {q.server for q in form.queries if q.cluster == "reviews"}
    expect(there == {shard}, f"its form was read from {there}")
    expect("id carries its place" in form.html, "the panel doesn't say why")
    page = visit.me.submit(path, author=author_of(visit, review, shard), **RATED)
    visit.check(page, "was changed successfully")
    visit.only_on(shard, "reviews_review", "text = 'Moderated.'", 1)
    visit.counted_right(MATRIX)
    return f"{answered(form)}; the list {answered(page)}"


def admin_adds_and_deletes(visit: Visit) -> str:
    """A review gets to the shard of its film, whoever writes it."""
    sql = "SELECT id FROM accounts_user WHERE username = 'staff'"
    me, shard = visit.number("accounts", sql), visit.home_of(TOY_STORY)
    where = f"author_id = {me}"
    for button in ("delete", "action"):
        page = visit.me.submit(
            "/admin/reviews/review/add/",
            **{"product": TOY_STORY, "author": me, **RATED},
        )
        visit.check(page, "was added successfully")
        visit.only_on(shard, "reviews_review", where, 1)
        visit.counted_right(TOY_STORY)
        sql = f"SELECT id FROM reviews_review WHERE {where}"
        review = visit.number(shard, sql)
        listed = "/admin/reviews/review/"
        if button == "delete":
            page = visit.me.submit(f"{listed}{review}/delete/", post="yes")
        else:
            chosen = {"action": "delete_selected", "_selected_action": review}
            page = visit.me.submit(listed, **chosen, post="yes")
        visit.check(page, "Successfully deleted" if button == "action" else "deleted")
        visit.only_on(shard, "reviews_review", where, 0)
        visit.counted_right(TOY_STORY)
    return answered(page)


def admin_accounts(visit: Visit) -> str:
    visit.get("/admin/accounts/user/?q=smoke", "Smoky the Second")
    sql = "SELECT id FROM accounts_user WHERE username = 'smoke'"
    person = visit.number("accounts", sql)
    page = visit.me.submit(
        f"/admin/accounts/user/{person}/change/",
        username="smoke", display_name="Smoked", is_active="on",
        date_joined_0="2020-01-01", date_joined_1="12:00:00",
    )  # fmt: skip
    visit.check(page, "was changed successfully")
    visit.only_on("accounts", "accounts_user", "display_name = 'Smoked'", 1)
    return answered(page)


def admin_deletes(visit: Visit) -> str:
    """No foreign key crosses servers, so the site itself says good-bye."""
    shard = visit.home_of(AMELIE)
    sql = f"SELECT author_id FROM reviews_review WHERE product_id = {AMELIE} LIMIT 1"
    person = visit.number(shard, sql)
    other = elsewhere(visit, person, shard)
    page = visit.me.submit(f"/admin/products/product/{AMELIE}/delete/", post="yes")
    visit.check(page, "was deleted successfully")
    visit.only_on("reviews", "reviews_review", f"product_id = {AMELIE}", 0)
    page = visit.me.submit(f"/admin/accounts/user/{person}/delete/", post="yes")
    visit.check(page, "was deleted successfully")
    visit.only_on("reviews", "reviews_review", f"author_id = {person}", 0)
    for server in visit.replicas:
        server.wait_until_replayed()
    visit.get(f"/films/{AMELIE}/", status=404)
    pages = range(1, 40)
    seen = (visit.me.get(f"/films/{other}/?page={n}") for n in pages)
    expect(any("Former reviewer" in p.text for p in seen), "the review is gone")
    visit.get("/admin/reviews/review/?o=-4")
    return answered(page)


def author_of(visit: Visit, review: int, shard: str) -> int:
    sql = f"SELECT author_id FROM reviews_review WHERE id = {review}"
    return visit.number(shard, sql)


def elsewhere(visit: Visit, person: int, shard: str) -> int:
    """Find a film that this person has reviewed on another shard."""
    sql = f"SELECT product_id FROM reviews_review WHERE author_id = {person} LIMIT 1"
    rows = [row for s in SHARDS if s != shard for row in visit.lab[s].sql(sql)]
    expect(bool(rows), f"person {person} has reviews on {shard} only")
    return int(str(rows[0][0]))
