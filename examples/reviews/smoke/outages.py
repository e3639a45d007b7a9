"""Takes a visit, stops one server after another, and looks what goes on."""

from smoke.visit import SHARDS, Visit, answered, expect
from visitor import Visitor

MATRIX, TOY_STORY = 2571, 1
POPULAR = (TOY_STORY, 356, 296, 318)


def a_shard_down(visit: Visit) -> str:
    """The films of the other shards keep their reviews, and get new ones."""
    path, shard = f"/films/{MATRIX}/", visit.home_of(MATRIX)
    other = next(film for film in POPULAR if visit.home_of(film) != shard)
    form = visit.get(f"{path}review/", "Save")
    visitor, visit.me = visit.me, Visitor(visit.address)
    visit.lab[shard].stop()
    down = visit.get(path, "The Matrix", "can’t be reached", status=503)
    visit.get("/", "Most reviewed", "can’t be reached")
    visit.get("/people/reviewer17/", "can’t be reached", status=503)
    visit.get("/films/?q=matrix", "The Matrix")
    visit.get(
        f"/films/{other}/", "reviews", f"one shard, {home_of_running(visit, other)}."
    )
    visit.me = visitor
    visit.get(f"{path}review/", "A server doesn’t answer", status=503)
    refused = visit.me.post(f"{path}review/", form.token, half_stars=2)
    visit.check(refused, "A server doesn’t answer", status=503)
    words = "While another shard was down."
    page = visit.me.submit(f"/films/{other}/review/", half_stars=7, text=words)
    visit.check(page, "Your review has been saved", words)
    visit.lab[shard].start()
    visit.eventually(lambda: visit.get(path, "The Matrix", "Moderated."))
    page = visit.me.submit(f"{path}review/", half_stars=2)
    visit.check(page, "has been saved")
    visit.merged(visit.get("/account/", words))
    return f"{shard}: 503, others 200, up again 200; {answered(down, page)}"


def accounts_server_down(visit: Visit) -> str:
    """Whoever isn't logged in can browse; a page that needs names says so."""
    visitor, visit.me = visit.me, Visitor(visit.address)
    visit.lab["accounts"].stop()
    browse = visit.get("/films/?q=matrix", "The Matrix")
    visit.get(f"/films/{MATRIX}/", "A server doesn’t answer", status=503)
    visit.me = visitor
    visit.get("/films/", "A server doesn’t answer", status=503)
    visit.lab["accounts"].start()
    visit.get(f"/films/{MATRIX}/", "The Matrix")
    return f"browsing 200, names 503, up again 200; {answered(browse)}"


def primary_of_films_down(visit: Visit) -> str:
    """Replicas serve the films; a review that no film can count is not kept either."""
    path = f"/films/{TOY_STORY}/review/"
    visit.lab["products"].stop()
    visit.get("/films/?q=matrix", "The Matrix")
    page = visit.me.submit(path, half_stars=10, text="While it was down.")
    visit.check(page, "A server doesn’t answer", status=503)
    visit.only_on("reviews", "reviews_review", "text = 'While it was down.'", 0)
    visit.lab["products"].start()
    count, total = visit.copied(TOY_STORY)

    def write_again() -> None:
        visit.me.submit(path, half_stars=8, text="And up again.")
        copied = visit.copied(TOY_STORY)
        expect(copied == (count + 1, total + 8), f"from {(count, total)} to {copied}")

    after = visit.eventually(write_again)
    return f"nothing half written, and whole {after:.1f} s after it is up"


def home_of_running(visit: Visit, product: int) -> str:
    sql = f"SELECT count(*) FROM reviews_review WHERE product_id = {product}"
    up = [shard for shard in SHARDS if visit.lab[shard].running]
    return next(shard for shard in up if visit.number(shard, sql))
