"""Takes paths and form fields, gives the pages of a site as a browser without JS would.

Standard library only: keeps cookies, follows redirects, sends a form with its token.
"""

import re
from dataclasses import dataclass
from html import unescape
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from typing import NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
QUERY = re.compile(
    r'<li data-cluster="([^"]*)" data-server="([^"]*)" data-role="([^"]*)"'
    r' data-event="([^"]*)">'
)


class Asked(NamedTuple):
    """One query, or a part of one, as the panel tells it."""

    cluster: str
    server: str
    role: str
    """`shards` for a query over several, of which there are parts."""
    event: str
    """What the log of Shoal calls it; `part` for what one server was asked for it."""


@dataclass(frozen=True)
class Page:
    status: int
    path: str
    """After redirects, with the query."""
    html: str
    kind: str
    """The content type."""

    @property
    def text(self) -> str:
        """What a person reads, without the panel of queries."""
        body = self.html.split('<details class="queries"')[0]
        body = re.sub(r"(?s)<(script|style|svg)\b.*?</\1>", " ", body)
        return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))

    @property
    def queries(self) -> list[Asked]:
        """Each query with its parts, as the page says itself."""
        return [Asked(*found) for found in QUERY.findall(self.html)]

    @property
    def servers(self) -> dict[str, int]:
        """How many queries each server answered."""
        asked = [query for query in self.queries if query.role != "shards"]
        names = [f"{query.server} ({query.role})" for query in asked]
        return {name: names.count(name) for name in sorted(set(names))}

    @property
    def token(self) -> str:
        found = TOKEN.search(self.html)
        return unescape(found[1]) if found else ""

    def count(self, markup: str) -> int:
        return self.html.count(markup)


class Visitor:
    def __init__(self, address: str) -> None:
        self.host = urlsplit(address).netloc
        self.connection = HTTPConnection(self.host, timeout=60)
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> Page:
        return self.ask("GET", path, None)

    def post(self, path: str, token: str, **fields: object) -> Page:
        pairs = {"csrfmiddlewaretoken": token, **fields}
        return self.ask("POST", path, urlencode(pairs, doseq=True))

    def submit(self, path: str, **fields: object) -> Page:
        """Open the page of a form, then send it."""
        return self.post(path, self.get(path).token, **fields)

    def ask(self, method: str, path: str, body: str | None) -> Page:
        for _ in range(5):
            status, kind, to, html = self.once(method, path, body)
            if to is None:
                return Page(status, path, html, kind)
            target = urlsplit(urljoin(path, to))
            path = target.path + (f"?{target.query}" if target.query else "")
            method, body = "GET", None
        raise RuntimeError(f"{path} redirects for ever.")

    def once(
        self, method: str, path: str, body: str | None
    ) -> tuple[int, str, str | None, str]:
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        html = response.read().decode(errors="replace")
        for line in response.headers.get_all("Set-Cookie", []):
            for name, cookie in SimpleCookie(line).items():
                self.cookies[name] = cookie.value
        kind = response.headers.get_content_type()
        return response.status, kind, response.headers.get("Location"), html
