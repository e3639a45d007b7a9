"""Takes a visit, signs up, writes, edits and deletes, and looks where it all landed."""

import re
from contextlib import ExitStack

from smoke.visit import Visit, answered, expect
from visitor import Page, Visitor

TOY_STORY = 1
OWN_PASSWORD = "herring and sprat 47"
WORDS = "Seen on a rainy Sunday; <b>worth</b> it."


def sign_up(visit: Visit) -> str:
    page = visit.get(f"/films/{TOY_STORY}/review/", "Log in")
    expect("next=/films/1/review/" in page.path, f"was sent to {page.path}")
    form = {"username": "smoke", "display_name": "Smoky", "next": "/account/"}
    page = visit.me.submit(
        "/account/signup/", **form, password1=OWN_PASSWORD, password2="else"
    )
    visit.check(page, "Sign up", "didn’t match")
    page = visit.me.submit(
        "/account/signup/", **form, password1=OWN_PASSWORD, password2=OWN_PASSWORD
    )
    visit.check(page, "Welcome, Smoky", "You have not written a review yet")
    visit.only_on("accounts", "accounts_user", "username = 'smoke'", 1)
    return answered(page)


def write(visit: Visit) -> str:
    path = f"/films/{TOY_STORY}/review/"
    before = visit.copied(TOY_STORY)
    visit.check(visit.me.submit(path, text=WORDS), "Choose how many stars")
    visit.check(visit.me.submit(path, half_stars=11), "Select a valid choice")
    page = visit.me.submit(path, half_stars=9, text=WORDS)
    visit.check(page, "Your review has been saved", "Smoky", WORDS, "You gave it 4.5")
    count, total = before
    visit.check(page, f"{count + 1} reviews")
    visit.only_on(visit.home_of(TOY_STORY), "reviews_review", f"text = '{WORDS}'", 1)
    expect(visit.copied(TOY_STORY) == (count + 1, total + 9), "the copy is wrong")
    one_unit(visit, page)
    mine = "SELECT review_count FROM accounts_user WHERE username = 'smoke'"
    expect(visit.number("accounts", mine) == 1, "the author's count is wrong")
    visit.get("/", "Toy Story (1995)", WORDS)
    return answered(page)


def one_unit(visit: Visit, page: Page) -> None:
    """The panel tells who was written, and who decided."""
    [(servers, home)] = re.findall(r'data-servers="(.+?)" data-home="(\w+)"', page.html)
    written = {"products", "accounts", visit.home_of(TOY_STORY)}
    expect({*servers.split()} == written, f"the unit was written on {servers}")
    steps = re.findall(r'data-step="(\w+)"', page.html)
    expect(steps[0] == "written" and "decided" in steps, f"{home} tells of {steps}")


def edit(visit: Visit) -> str:
    path = f"/films/{TOY_STORY}/review/"
    visit.get(path, "Edit your review", WORDS)
    count, total = visit.copied(TOY_STORY)
    page = visit.me.submit(path, half_stars=4, text="On second thoughts, no.")
    visit.check(page, "has been saved", "You gave it 2.0", "changed")
    home = visit.home_of(TOY_STORY)
    visit.only_on(home, "reviews_review", "text LIKE 'On second%'", 1)
    expect(visit.copied(TOY_STORY) == (count, total - 5), "the copy is wrong")
    return answered(page)


def log_out_and_in(visit: Visit) -> str:
    page = visit.me.post("/account/logout/", visit.get("/").token)
    visit.check(page, "Log in", "Sign up")
    page = visit.me.submit("/account/login/", username="smoke", password="wrong")
    visit.check(page, "Please enter a correct")
    page = visit.me.submit("/account/login/", username="smoke", password=OWN_PASSWORD)
    visit.check(page, "Your account", "Toy Story", "On second thoughts, no.")
    visit.merged(page)
    return answered(page)


def account(visit: Visit) -> str:
    page = visit.me.submit("/account/", display_name="Smoky the Second")
    visit.check(page, "Your name has been changed", "Smoky the Second")
    visit.get("/people/smoke/", "Smoky the Second", "1 review,")
    return answered(page)


def delete(visit: Visit) -> str:
    path = f"/films/{TOY_STORY}/review/delete/"
    count, total = visit.copied(TOY_STORY)
    visit.get(path, "Delete your review?", "On second thoughts")
    refused = visit.check(visit.me.post(path, ""), "form is too old", status=403)
    page = visit.check(visit.me.submit(path), "Your review has been deleted")
    visit.only_on("reviews", "reviews_review", "text LIKE 'On second%'", 0)
    expect(visit.copied(TOY_STORY) == (count - 1, total - 4), "the copy is wrong")
    visit.get(path, "You have no review of this film")
    return f"{answered(page)}; without its token: {refused.status}"


def replicas_behind(visit: Visit) -> str:
    """Whoever wrote sees it at once; everybody else goes on with the replicas."""
    film, words = f"/films/{TOY_STORY}/", "Written while the replicas stood still."
    listed = "/films/?q=toy+story+1995"
    before, guest = visit.copied(TOY_STORY)[0], Visitor(visit.address)
    with ExitStack() as stack:
        for server in visit.replicas:
            stack.enter_context(server.replay_paused())
        page = visit.me.submit(f"{film}review/", half_stars=8, text=words)
        late = "Films came from the primary: the replicas had not caught up."
        visit.check(page, "Your review has been saved", words, late)
        visit.get(listed, f"{before + 1} reviews", late)
        others = visit.check(
            guest.get(listed),
            f"{before} reviews",
            "Films came from replica products_r",
        )
        visit.check(guest.get(film), words)
    for server in visit.replicas:
        server.wait_until_replayed()
    caught_up = "which had caught up."
    visit.eventually(lambda: visit.get(listed, f"{before + 1} reviews", caught_up))
    again = visit.get(film, words, caught_up)
    visit.check(guest.get(listed), f"{before + 1} reviews")
    visit.check(visit.me.submit(f"{film}review/delete/"), "has been deleted")
    return f"{answered(page)}; others {answered(others)}; then {answered(again)}"
