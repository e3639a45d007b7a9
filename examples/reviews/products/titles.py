"""Takes a title as it was catalogued, gives how it is shown and how it is found."""

import re
import unicodedata

ARTICLES = "The|An?|L[aeo]s?|L'|Les|El|Il|Der|Die|Das|Den|Det|Une?"
MOVED_ARTICLE = re.compile(rf"^(?P<title>[^(]+), (?P<article>{ARTICLES})(?=$| \()")
APOSTROPHE = re.compile("['\N{RIGHT SINGLE QUOTATION MARK}]")


def shown_title(catalogued: str) -> str:
    """Put the article back in front: "Matrix, The" is "The Matrix"."""
    found = MOVED_ARTICLE.match(catalogued)
    if found is None:
        return catalogued
    article = found["article"]
    gap = "" if article.endswith("'") else " "
    return article + gap + found["title"] + catalogued[found.end() :]


def search_form(text: str) -> str:
    """Reduce text to plain lower-case words, so that "Leon" finds "Léon"."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join(re.findall(r"\w+", APOSTROPHE.sub("", plain)))
