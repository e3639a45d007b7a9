"""Takes the address of the site and its servers, visits every page, says what it saw.

Asks the servers directly whether what the pages say is so, and whether each row landed
on the server of its cluster, or on the shard of its film, and on no other.
"""

import re
import time
from collections.abc import Callable
from contextlib import ExitStack

from rich.console import Console
from rich.markup import escape
from shoal.lab import Lab, LabServer

from visitor import Page, Visitor

MATRIX, AMELIE, TOY_STORY, UNTITLED = 2571, 4973, 1, 108548
POPULAR = (TOY_STORY, 356, 296, 318)
PASSWORD = "shoal-demo"
OWN_PASSWORD = "herring and sprat 47"
REVIEWS = "reviews"
SHARDS = ("reviews_0", "reviews_1", "reviews_2", "reviews_3")
# By the first word of a table's name.
APPS = {
    "products": {"products"},
    **{shard: {"reviews"} for shard in SHARDS},
    "accounts": {"accounts", "auth", "django", "shoal"},
}
BACK_WITHIN = 10.0
"""Seconds until a server that was started again is written to."""
RATED = {
    "half_stars": 1,
    "text": "Moderated.",
    "created_0": "2017-01-01",
    "created_1": "12:00:00",
}
WORDS = "Seen on a rainy Sunday; <b>worth</b> it."


class Surprise(Exception):
    """Something on the site is not as it should be."""


def expect(found: bool, what: str) -> None:
    if not found:
        raise Surprise(what)


class Walk:
    """One person's visit; every public method is a step, in this order."""

    def __init__(self, address: str, lab: Lab) -> None:
        self.lab = lab
        self.address = address
        self.me = Visitor(address)

    @property
    def replicas(self) -> list[LabServer]:
        return [server for server in self.lab if server.primary]

    def number(self, server: str, sql: str) -> int:
        """Ask this server for a number, or for `reviews` each shard, and add them."""
        servers = SHARDS if server == REVIEWS else (server,)
        return sum(int(str(self.lab[one].sql(sql)[0][0])) for one in servers)

    def home_of(self, product: int) -> str:
        """Ask all shards which of them has the reviews of this film: it must be one."""
        sql = f"SELECT count(*) FROM reviews_review WHERE product_id = {product}"
        have = [shard for shard in SHARDS if self.number(shard, sql)]
        expect(len(have) == 1, f"film {product} has reviews on {have}")
        return have[0]

    def get(self, path: str, *texts: str, status: int = 200) -> Page:
        return self.check(self.me.get(path), *texts, status=status)

    def check(self, page: Page, *texts: str, status: int = 200) -> Page:
        expect(page.status == status, f"{page.path} gave {page.status}, not {status}")
        for text in texts:
            expect(text in page.text, f"{page.path} doesn't say {text!r}")
        return page

    def front_page(self) -> str:
        page = self.get("/", "Most reviewed", "Latest reviews", "Forrest Gump")
        cards, reviews = (
            page.count('class="card"'),
            page.count('<article class="review'),
        )
        expect((cards, reviews) == (12, 6), f"{cards} films and {reviews} reviews")
        asked = {query.cluster for query in page.queries}
        expect(asked == {"products", "reviews", "accounts"}, f"asked only {asked}")
        self.brought_together(page)
        words = "Reviews came from several shards, brought together on reviews_0."
        self.check(page, words)
        fetched = r"shard of reviews</span>\s*<span class=\"spent\">(\d+) row"
        rows = sum(map(int, re.findall(fetched, page.html)))
        expect(120 <= rows <= 500, f"{rows} reviews were fetched for six of them")
        return f"{rows} rows of reviews; {answered(page)}"

    def brought_together(self, page: Page) -> None:
        """The page says that all shards were asked, and that this cost a gathering."""
        shards = {query.server for query in page.queries if query.role == "shard"}
        expect(shards == set(SHARDS), f"{page.path} asked {shards}")
        events = {query.event for query in page.queries}
        expect("query_gathered" in events, f"{page.path} tells of {events}")

    def static_files(self) -> str:
        kinds = []
        for name in ("site.css", "panel.css", "site.js", "icon.svg"):
            page = self.get(f"/static/reviewsite/{name}")
            expect(len(page.html) > 100, f"{name} is empty")
            kinds.append(page.kind)
        return ", ".join(kinds)

    def browse(self) -> str:
        films = self.number("products", "SELECT count(*) FROM products_product")
        page = self.get("/films/", f"{films:,} films", "Page 1 of 378")
        roles = {query.role for query in page.queries if query.cluster == "products"}
        expect(roles == {"replica"}, f"films were read from {roles}")
        return answered(page)

    def search(self) -> str:
        self.get("/films/?q=the+matrix&order=rating", "The Matrix")
        self.get("/films/?q=AMELIE", "Amélie")
        page = self.get("/films/?q=star&genre=Sci-Fi&order=new", "Star Wars", "Sci-Fi")
        self.get("/films/?q=qqqqq", "No film matches “qqqqq”")
        self.get("/films/?q=%27%3B--&genre=nonsense&order=nonsense", "films")
        self.get("/films/?order=title&genre=Film-Noir", "Film-Noir")
        return answered(page)

    def paging(self) -> str:
        first, second = self.get("/films/"), self.get("/films/?page=2", "Page 2 of")
        expect(first.text != second.text, "pages 1 and 2 are the same")
        self.get("/films/?page=378", "Page 378 of 378")
        for wrong in ("379", "0", "-1", "abc", "9" * 30):
            self.get(f"/films/?page={wrong}", "only 378 pages", status=404)
        return answered(second)

    def product_page(self) -> str:
        sql = f"SELECT count(*) FROM reviews_review WHERE product_id = {MATRIX}"
        shard = self.home_of(MATRIX)
        count = self.number(shard, sql)
        page = self.get(f"/films/{MATRIX}/", "The Matrix", f"{count} reviews")
        asked = [query for query in page.queries if query.cluster == "reviews"]
        expect({query.server for query in asked} == {shard}, f"asked {asked}")
        expect({query.event for query in asked} == {"query_on_one_shard"}, f"{asked}")
        self.check(page, f"Reviews came from one shard, {shard}.")
        expect("product_id is the key" in page.html, "the panel doesn't say why")
        expect(page.count('<article class="review') == 10, "not ten reviews on a page")
        self.get(f"/films/{MATRIX}/?page=2", "Page 2 of")
        self.get(f"/films/{MATRIX}/?page=9999", status=404)
        self.get(f"/films/{UNTITLED}/", "Untitled film 108548", "Year unknown")
        return answered(page)

    def another_person(self) -> str:
        sql = "SELECT id FROM accounts_user WHERE username = 'reviewer17'"
        person = self.number("accounts", sql)
        sql = f"SELECT count(*) FROM reviews_review WHERE author_id = {person}"
        count = self.number("reviews", sql)
        page = self.get("/people/reviewer17/", "Reviewer 17", f"{count} reviews")
        self.brought_together(page)
        self.get("/people/nobody-of-this-name/", status=404)
        return answered(page)

    def sign_up(self) -> str:
        page = self.get(f"/films/{TOY_STORY}/review/", "Log in")
        expect("next=/films/1/review/" in page.path, f"was sent to {page.path}")
        form = {"username": "smoke", "display_name": "Smoky", "next": "/account/"}
        page = self.me.submit(
            "/account/signup/", **form, password1=OWN_PASSWORD, password2="else"
        )
        self.check(page, "Sign up", "didn’t match")
        page = self.me.submit(
            "/account/signup/", **form, password1=OWN_PASSWORD, password2=OWN_PASSWORD
        )
        self.check(page, "Welcome, Smoky", "You have not written a review yet")
        self.only_on("accounts", "accounts_user", "username = 'smoke'", 1)
        return answered(page)

    def write(self) -> str:
        path = f"/films/{TOY_STORY}/review/"
        before = self.copied(TOY_STORY)
        self.check(self.me.submit(path, text=WORDS), "Choose how many stars")
        self.check(self.me.submit(path, half_stars=11), "Select a valid choice")
        page = self.me.submit(path, half_stars=9, text=WORDS)
        self.check(
            page, "Your review has been saved", "Smoky", WORDS, "You gave it 4.5"
        )
        count, total = before
        self.check(page, f"{count + 1} reviews")
        self.only_on(self.home_of(TOY_STORY), "reviews_review", f"text = '{WORDS}'", 1)
        expect(self.copied(TOY_STORY) == (count + 1, total + 9), "the copy is wrong")
        self.get("/", "Toy Story (1995)", WORDS)
        return answered(page)

    def edit(self) -> str:
        path = f"/films/{TOY_STORY}/review/"
        self.get(path, "Edit your review", WORDS)
        count, total = self.copied(TOY_STORY)
        page = self.me.submit(path, half_stars=4, text="On second thoughts, no.")
        self.check(page, "has been saved", "You gave it 2.0", "changed")
        home = self.home_of(TOY_STORY)
        self.only_on(home, "reviews_review", "text LIKE 'On second%'", 1)
        expect(self.copied(TOY_STORY) == (count, total - 5), "the copy is wrong")
        return answered(page)

    def log_out_and_in(self) -> str:
        page = self.me.post("/account/logout/", self.get("/").token)
        self.check(page, "Log in", "Sign up")
        page = self.me.submit("/account/login/", username="smoke", password="wrong")
        self.check(page, "Please enter a correct")
        page = self.me.submit(
            "/account/login/", username="smoke", password=OWN_PASSWORD
        )
        self.check(page, "Your account", "Toy Story", "On second thoughts, no.")
        self.brought_together(page)
        return answered(page)

    def account(self) -> str:
        page = self.me.submit("/account/", display_name="Smoky the Second")
        self.check(page, "Your name has been changed", "Smoky the Second")
        self.get("/people/smoke/", "Smoky the Second", "1 review,")
        return answered(page)

    def delete(self) -> str:
        path = f"/films/{TOY_STORY}/review/delete/"
        count, total = self.copied(TOY_STORY)
        self.get(path, "Delete your review?", "On second thoughts")
        refused = self.check(self.me.post(path, ""), "form is too old", status=403)
        page = self.check(self.me.submit(path), "Your review has been deleted")
        self.only_on("reviews", "reviews_review", "text LIKE 'On second%'", 0)
        expect(self.copied(TOY_STORY) == (count - 1, total - 4), "the copy is wrong")
        self.get(path, "You have no review of this film")
        return f"{answered(page)}; without its token: {refused.status}"

    def replicas_behind(self) -> str:
        """Whoever wrote sees it at once; everybody else goes on with the replicas."""
        film, words = f"/films/{TOY_STORY}/", "Written while the replicas stood still."
        listed = "/films/?q=toy+story+1995"
        before, guest = self.copied(TOY_STORY)[0], Visitor(self.address)
        with ExitStack() as stack:
            for server in self.replicas:
                stack.enter_context(server.replay_paused())
            page = self.me.submit(f"{film}review/", half_stars=8, text=words)
            late = "Films came from the primary: the replicas had not caught up."
            self.check(page, "Your review has been saved", words, late)
            self.get(listed, f"{before + 1} reviews", late)
            others = self.check(
                guest.get(listed),
                f"{before} reviews",
                "Films came from replica products_r",
            )
            self.check(guest.get(film), words)
        for server in self.replicas:
            server.wait_until_replayed()
        caught_up = "which had caught up."
        self.eventually(lambda: self.get(listed, f"{before + 1} reviews", caught_up))
        again = self.get(film, words, caught_up)
        self.check(guest.get(listed), f"{before + 1} reviews")
        self.check(self.me.submit(f"{film}review/delete/"), "has been deleted")
        return f"{answered(page)}; others {answered(others)}; then {answered(again)}"

    def admin_products(self) -> str:
        self.me = Visitor(self.address)
        self.check(self.me.get("/admin/"), "Log in")
        form = {"username": "staff", "password": PASSWORD, "next": "/admin/"}
        page = self.me.submit("/admin/login/", **form)
        self.check(page, "Products", "Reviews", "Users")
        self.get("/admin/products/product/?q=toy+story", "Toy Story")
        page = self.me.submit(
            f"/admin/products/product/{TOY_STORY}/change/",
            title="Toy Story One", sort_title="Toy Story", year=1995, genres=[],
        )  # fmt: skip
        self.check(page, "was changed successfully")
        self.only_on("products", "products_product", "title = 'Toy Story One'", 1)
        for server in self.replicas:
            server.wait_until_replayed()
        self.get(f"/films/{TOY_STORY}/", "Toy Story One")
        return answered(page)

    def admin_reviews(self) -> str:
        shard = self.home_of(MATRIX)
        sql = "SELECT min(id) FROM reviews_review WHERE product_id = %d"
        review = self.number(shard, sql % MATRIX)
        self.brought_together(self.get("/admin/reviews/review/", "Reviewer"))
        page = self.get("/admin/reviews/review/?q=matrix", "The Matrix", "Reviewer")
        self.brought_together(page)
        self.get("/admin/reviews/review/?half_stars__exact=10&o=1.-4", "Reviewer")
        path = f"/admin/reviews/review/{review}/change/"
        form = self.get(path, "The Matrix")
        asked = {q.server for q in form.queries if q.cluster == "reviews"}
        expect(asked == {shard}, f"its form was read from {asked}")
        expect("id carries its place" in form.html, "the panel doesn't say why")
        page = self.me.submit(path, author=self.author_of(review, shard), **RATED)
        self.check(page, "was changed successfully")
        self.only_on(shard, "reviews_review", "text = 'Moderated.'", 1)
        self.counted_right(MATRIX)
        return f"{answered(form)}; the list {answered(page)}"

    def admin_adds_and_deletes(self) -> str:
        """A review gets to the shard of its film, whoever writes it."""
        sql = "SELECT id FROM accounts_user WHERE username = 'staff'"
        me, shard = self.number("accounts", sql), self.home_of(TOY_STORY)
        where = f"author_id = {me}"
        for button in ("delete", "action"):
            page = self.me.submit(
                "/admin/reviews/review/add/",
                **{"product": TOY_STORY, "author": me, **RATED},
            )
            self.check(page, "was added successfully")
            self.only_on(shard, "reviews_review", where, 1)
            self.counted_right(TOY_STORY)
            sql = f"SELECT id FROM reviews_review WHERE {where}"
            review = self.number(shard, sql)
            listed = "/admin/reviews/review/"
            if button == "delete":
                page = self.me.submit(f"{listed}{review}/delete/", post="yes")
            else:
                chosen = {"action": "delete_selected", "_selected_action": review}
                page = self.me.submit(listed, **chosen, post="yes")
            self.check(
                page, "Successfully deleted" if button == "action" else "deleted"
            )
            self.only_on(shard, "reviews_review", where, 0)
            self.counted_right(TOY_STORY)
        return answered(page)

    def author_of(self, review: int, shard: str) -> int:
        sql = f"SELECT author_id FROM reviews_review WHERE id = {review}"
        return self.number(shard, sql)

    def counted_right(self, product: int) -> None:
        counted = self.lab[self.home_of(product)].sql(
            "SELECT count(*), sum(half_stars) FROM reviews_review"
            f" WHERE product_id = {product}"
        )[0]
        expect(self.copied(product) == tuple(counted), "the copy is wrong")

    def admin_accounts(self) -> str:
        self.get("/admin/accounts/user/?q=smoke", "Smoky the Second")
        sql = "SELECT id FROM accounts_user WHERE username = 'smoke'"
        person = self.number("accounts", sql)
        page = self.me.submit(
            f"/admin/accounts/user/{person}/change/",
            username="smoke", display_name="Smoked", is_active="on",
            date_joined_0="2020-01-01", date_joined_1="12:00:00",
        )  # fmt: skip
        self.check(page, "was changed successfully")
        self.only_on("accounts", "accounts_user", "display_name = 'Smoked'", 1)
        return answered(page)

    def admin_deletes(self) -> str:
        """No foreign key crosses servers, so the site itself says good-bye."""
        shard = self.home_of(AMELIE)
        sql = (
            f"SELECT author_id FROM reviews_review WHERE product_id = {AMELIE} LIMIT 1"
        )
        person = self.number(shard, sql)
        other = self.elsewhere(person, shard)
        page = self.me.submit(f"/admin/products/product/{AMELIE}/delete/", post="yes")
        self.check(page, "was deleted successfully")
        self.only_on("reviews", "reviews_review", f"product_id = {AMELIE}", 0)
        page = self.me.submit(f"/admin/accounts/user/{person}/delete/", post="yes")
        self.check(page, "was deleted successfully")
        self.only_on("reviews", "reviews_review", f"author_id = {person}", 0)
        for server in self.replicas:
            server.wait_until_replayed()
        self.get(f"/films/{AMELIE}/", status=404)
        pages = range(1, 40)
        seen = (self.me.get(f"/films/{other}/?page={n}") for n in pages)
        expect(any("Former reviewer" in p.text for p in seen), "the review is gone")
        self.get("/admin/reviews/review/?o=-4")
        return answered(page)

    def elsewhere(self, person: int, shard: str) -> int:
        """Find a film that this person has reviewed on another shard."""
        sql = (
            f"SELECT product_id FROM reviews_review WHERE author_id = {person} LIMIT 1"
        )
        rows = [row for s in SHARDS if s != shard for row in self.lab[s].sql(sql)]
        expect(bool(rows), f"person {person} has reviews on {shard} only")
        return int(str(rows[0][0]))

    def not_found(self) -> str:
        page = self.get("/no/such/page/", "Not here", status=404)
        self.get("/films/999999999/", "Not here", status=404)
        return answered(page)

    def a_shard_down(self) -> str:
        """The films of the other shards keep their reviews, and get new ones."""
        path, shard = f"/films/{MATRIX}/", self.home_of(MATRIX)
        other = next(film for film in POPULAR if self.home_of(film) != shard)
        form = self.get(f"{path}review/", "Save")
        visitor, self.me = self.me, Visitor(self.address)
        self.lab[shard].stop()
        down = self.get(path, "The Matrix", "can’t be reached", status=503)
        self.get("/", "Most reviewed", "can’t be reached")
        self.get("/people/reviewer17/", "can’t be reached", status=503)
        self.get("/films/?q=matrix", "The Matrix")
        self.get(
            f"/films/{other}/", "reviews", f"one shard, {self.home_of_running(other)}."
        )
        self.me = visitor
        self.get(f"{path}review/", "A server doesn’t answer", status=503)
        refused = self.me.post(f"{path}review/", form.token, half_stars=2)
        self.check(refused, "A server doesn’t answer", status=503)
        words = "While another shard was down."
        page = self.me.submit(f"/films/{other}/review/", half_stars=7, text=words)
        self.check(page, "Your review has been saved", words)
        self.lab[shard].start()
        self.eventually(lambda: self.get(path, "The Matrix", "Moderated."))
        page = self.me.submit(f"{path}review/", half_stars=2)
        self.check(page, "has been saved")
        self.brought_together(self.get("/account/", words))
        return f"{shard}: 503, others 200, up again 200; {answered(down, page)}"

    def home_of_running(self, product: int) -> str:
        sql = f"SELECT count(*) FROM reviews_review WHERE product_id = {product}"
        up = [shard for shard in SHARDS if self.lab[shard].running]
        return next(shard for shard in up if self.number(shard, sql))

    def accounts_server_down(self) -> str:
        """Whoever isn't logged in can browse; a page that needs names says so."""
        visitor, self.me = self.me, Visitor(self.address)
        self.lab["accounts"].stop()
        browse = self.get("/films/?q=matrix", "The Matrix")
        self.get(f"/films/{MATRIX}/", "A server doesn’t answer", status=503)
        self.me = visitor
        self.get("/films/", "A server doesn’t answer", status=503)
        self.lab["accounts"].start()
        self.get(f"/films/{MATRIX}/", "The Matrix")
        return f"browsing 200, names 503, up again 200; {answered(browse)}"

    def primary_of_films_down(self) -> str:
        """Replicas serve the films; a review is kept, its film counts it later."""
        path = f"/films/{TOY_STORY}/review/"
        self.lab["products"].stop()
        self.get("/films/?q=matrix", "The Matrix")
        page = self.me.submit(path, half_stars=10, text="While it was down.")
        self.check(page, "Your review has been saved", "You gave it 5.0")
        home = self.home_of(TOY_STORY)
        self.only_on(home, "reviews_review", "text = 'While it was down.'", 1)
        self.lab["products"].start()
        count, total = self.copied(TOY_STORY)

        def write_again() -> None:
            self.me.submit(path, half_stars=8, text="And up again.")
            copied = self.copied(TOY_STORY)
            expect(copied == (count + 1, total + 8), "the copy is wrong")

        after = self.eventually(write_again)
        return f"200, and counted {after:.1f} s after it is up; {answered(page)}"

    def tables(self) -> str:
        """Each cluster has its own tables and none of the others'."""
        places = []
        for server, apps in APPS.items():
            rows = self.lab[server].sql(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            )
            tables = {str(name) for (name,) in rows} - {"django_migrations"}
            strange = {name for name in tables if name.split("_")[0] not in apps}
            expect(bool(tables) and not strange, f"{server} has {strange or 'none'}")
            places.append(f"{len(tables)} on {server}")
        return ", ".join(places)

    def eventually(self, act: Callable[[], object]) -> float:
        """
        Repeat this until it goes well, and say how many seconds that took.

        The site learns within about a second that a server is up again.
        """
        begun = time.monotonic()
        while True:
            try:
                act()
            except Surprise:
                if time.monotonic() - begun > BACK_WITHIN:
                    raise
                time.sleep(0.1)
            else:
                return time.monotonic() - begun

    def copied(self, product: int) -> tuple[int, int]:
        count, total = self.lab["products"].sql(
            "SELECT review_count, rating_sum FROM products_product"
            f" WHERE id = {product}"
        )[0]
        return int(str(count)), int(str(total))

    def only_on(self, server: str, table: str, where: str, count: int) -> None:
        """Ask the server itself for the rows, and the others for the table or a row."""
        sql = f"SELECT count(*) FROM {table} WHERE {where}"
        servers = SHARDS if server == REVIEWS else (server,)
        found = sum(self.number(one, sql) for one in servers)
        expect(found == count, f"{server} has {found} rows where {where}, not {count}")
        family = set(SHARDS) if server in (REVIEWS, *SHARDS) else {server}
        for shard in family - set(servers):
            expect(self.number(shard, sql) == 0, f"{shard} has rows where {where}")
        for other in (set(APPS) - family) & {s.name for s in self.lab if s.running}:
            there = self.lab[other].sql(f"SELECT to_regclass('{table}')::text")[0][0]
            expect(not there, f"{other} has a table {table}")


STEPS: list[Callable[[Walk], str]] = [
    Walk.front_page,
    Walk.static_files,
    Walk.browse,
    Walk.search,
    Walk.paging,
    Walk.product_page,
    Walk.another_person,
    Walk.sign_up,
    Walk.write,
    Walk.edit,
    Walk.log_out_and_in,
    Walk.account,
    Walk.delete,
    Walk.replicas_behind,
    Walk.admin_products,
    Walk.admin_reviews,
    Walk.admin_adds_and_deletes,
    Walk.admin_accounts,
    Walk.admin_deletes,
    Walk.not_found,
    Walk.a_shard_down,
    Walk.accounts_server_down,
    Walk.primary_of_films_down,
    Walk.tables,
]


def answered(*pages: Page) -> str:
    parts = [f"{name} {count}" for p in pages for name, count in p.servers.items()]
    return ", ".join(parts) or "no server asked"


def walk(address: str, lab: Lab, console: Console) -> int:
    """Take all steps; a step that fails doesn't keep the others from being taken."""
    visit, failures = Walk(address, lab), 0
    for step in STEPS:
        begun = time.perf_counter()
        try:
            seen, mark = step(visit), "[green]ok[/green]  "
        except Exception as error:
            failures += 1
            seen, mark = f"{type(error).__name__}: {error}", "[red]FAIL[/red]"
        name = step.__name__.replace("_", " ")
        took = 1000 * (time.perf_counter() - begun)
        console.print(f"{mark} {name:<20} {took:5.0f} ms  {escape(seen)}")
    console.print(f"{len(STEPS) - failures} of {len(STEPS)} steps went well.")
    return 1 if failures else 0
