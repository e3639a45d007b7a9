"""Takes the address of the site and its servers, gives what every step asks of them.

What a page says is looked up on the servers themselves: whether each row landed on the
server of its cluster, or on the shard of its film, and on no other.
"""

import time
from collections.abc import Callable

from shoal.lab import Lab, LabServer

from visitor import Page, Visitor

REVIEWS = "reviews"
SHARDS = ("reviews_0", "reviews_1", "reviews_2", "reviews_3")
# By the first word of a table's name.
APPS = {
    "products": {"products", "shoal"},
    **{shard: {"reviews", "shoal"} for shard in SHARDS},
    "accounts": {"accounts", "auth", "django", "shoal"},
}
BACK_WITHIN = 10.0
"""Seconds until a server that was started again is written to."""


class Surprise(Exception):
    """Something on the site is not as it should be."""


def expect(found: bool, what: str) -> None:
    if not found:
        raise Surprise(what)


class Visit:
    """One person's visit, and the servers behind it."""

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

    def merged(self, page: Page) -> None:
        """The page says that each shard was asked for its part, and none for more."""
        shards = {query.server for query in page.queries if query.role == "shard"}
        expect(shards == set(SHARDS), f"{page.path} asked {shards}")
        events = {query.event for query in page.queries}
        expect("query_scattered" in events, f"{page.path} tells of {events}")
        expect("query_gathered" not in events, f"{page.path} brought rows together")

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

    def counted_right(self, product: int) -> None:
        counted = self.lab[self.home_of(product)].sql(
            "SELECT count(*), sum(half_stars) FROM reviews_review"
            f" WHERE product_id = {product}"
        )[0]
        expect(self.copied(product) == tuple(counted), "the copy is wrong")


def answered(*pages: Page) -> str:
    parts = [f"{name} {count}" for p in pages for name, count in p.servers.items()]
    return ", ".join(parts) or "no server asked"
