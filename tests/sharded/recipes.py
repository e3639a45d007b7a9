"""
Draws queries as Python text, so that what fails can be copied into a test.

`q(Model)` in it is the queryset of all rows on the alias that is asked; `pk(Model, i)`
the primary key of one of the rows.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.sharded.drawing import Drawing
from tests.sharded.paths import LINKS, MODEL_OF, PATHS, SETS


@dataclass(frozen=True)
class Recipe:
    text: str
    is_ordered: bool
    """Whether its rows come in one order only."""


@st.composite
def reads(draw: Any) -> Recipe:
    """Draw a query that reads, and what is asked of it."""
    drawing = Drawing(draw, draw(st.sampled_from(sorted(PATHS))))
    shape = draw(
        st.sampled_from(
            (
                *(_rows, _rows, _rows, _values, _groups, _one, _number, _related),
                *(_combined, _combined, _over_others, _firsts),
            )
        )
    )
    recipe: Recipe = shape(drawing)
    return recipe


def _start(drawing: Drawing) -> str:
    return f"q({drawing.model}){drawing.filters()}"


def _rows(d: Drawing) -> Recipe:
    text = _start(d)
    if d.few(2) == 0:
        expression = d.expression()
        text += f".annotate(x={expression})"
        if d.few(3) == 0:
            text += ".filter(x__isnull=False)"
        if d.joins_many(expression):
            return Recipe(text, False)
    elif d.few(3) == 0:
        text += f".annotate(x={d.aggregate()})"
        if d.maybe():
            text += f".filter(x__{d.of(('gt=1', 'lte=1', 'isnull=True'))})"
    if d.few(4) == 0:
        return Recipe(text, False)
    text += d.order(by_key=True)
    if d.model == "Stock" and "Window(" in text and ".filter(x__" in text:
        # Django orders a filtered window by a column that it has miscounted.
        return Recipe(text, False)
    if d.few(4) == 0:
        text += ".distinct()"
    elif d.maybe():
        text += d.slice()
    return Recipe(text, True)


def _values(d: Drawing) -> Recipe:
    text = _start(d)
    paths = [d.path() for _ in range(1 + d.few(2))]
    names = dict.fromkeys(path.name for path in paths if path.type != "json")
    listed = ", ".join(map(repr, names)) or "'pk'"
    flat = ", flat=True" if len(names) < 2 else ""
    if d.few(2) == 0:
        return Recipe(f"{text}.values_list({listed}{flat}).distinct()", False)
    text += f".values({listed})" if d.maybe() else f".values_list({listed}{flat})"
    if any(path.is_many for path in paths):
        return Recipe(text, False)
    return Recipe(f"{text}{d.order(by_key=True)}{d.slice()}", True)


def _groups(d: Drawing) -> Recipe:
    by = d.path("int", "text", "bool", "decimal", "Product", "Category", "Author")
    text = f"{_start(d)}.values({by.name!r}).annotate(x={d.aggregate()})"
    if d.few(2) == 0:
        text += f".filter(x__{d.of(('gt=1', 'lt=1', 'isnull=False'))})"
    if d.few(2) == 0:
        return Recipe(f"{text}.order_by({by.name!r}){d.slice()}", True)
    return Recipe(text, False)


def _one(d: Drawing) -> Recipe:
    text = _start(d)
    end = d.of(
        (
            f"{d.order(by_key=True)}.first()",
            f"{d.order(by_key=True)}.last()",
            f".get({d.lookup(d.path(d.model))})",
            ".get()",
            f".in_bulk([pk({d.model}, {d.few(9)}), pk({d.model}, {d.few(9)})])",
            f"{d.order(by_key=True)}.reverse()[{d.few(20)}]",
            f".contains(q({d.model}).order_by('pk')[{d.few(3)}])",
            ".latest('pk')",
        )
    )
    return Recipe(text + end, True)


def _number(d: Drawing) -> Recipe:
    text = _start(d)
    if d.few(3) == 0:
        text += f".values({d.path().name!r})"
    if d.few(3) == 0:
        text += ".distinct()"
    sliced = d.few(3) == 0
    if sliced:
        text += f"{d.order(by_key=True)}{d.slice()}"
    end = d.of((".count()", ".exists()", f".aggregate(x={d.aggregate()})"))
    # Which of a row's joined rows a slice takes is nobody's promise.
    by_chance = sliced and d.joins_many(end)
    if "aggregate" in end and (".values(" in text or by_chance):
        end = ".aggregate(x=Count('*'))"
    return Recipe(text + end, True)


def _combined(d: Drawing) -> Recipe:
    """Put rows of two queries together, or of three, the third within the second."""
    name = d.path("text", "int", single=True).name
    listed = d.of((f".values_list('pk', {name!r})",) * 3 + ("",))
    # Django orders by the first column of such a primary key alone.
    is_sortable = d.model != "Stock"
    parts = [f"{_start(d)}{listed}" for _ in range(2 + (d.few(3) == 0))]
    if is_sortable and d.few(3) == 0:
        parts[0] += f"{d.order(by_key=True)}{d.slice()}"
    text = parts.pop()
    while parts:
        kind = d.of(("union", "union", "intersection", "difference"))
        more = ", all=True" if kind == "union" and d.few(2) == 0 else ""
        text = f"{parts.pop()}.{kind}({text}{more})"
    order = f".order_by({d.of((name, '-' + name))!r}, 'pk')"
    ends = ["", ".count()", ".exists()"]
    if is_sortable:
        ends += [f"{order}{d.slice()}", order, f"{order}.first()", f"{order}.count()"]
    end = d.of(ends)
    return Recipe(text + end, end != "")


def _over_others(d: Drawing) -> Recipe:
    """Put groups together, or what is left of rows of which equal ones count once."""
    by = d.path("int", "text", "bool", "decimal", "Product", "Category", "Author")
    text = f"{_start(d)}.values({by.name!r})"
    if d.maybe():
        text += f".annotate(x={d.aggregate()})"
        if d.few(2) == 0:
            text += f".filter(x__{d.of(('gt=1', 'lt=1', 'isnull=False'))})"
        ends = ("aggregate(y=Max('x'), n=Count('x'))", "aggregate(y=Avg('x'))")
        return Recipe(f"{text}.{d.of((*ends, 'count()', 'exists()'))}", True)
    text += f".distinct(){d.of(('', d.slice()))}"
    return Recipe(f"{text}.{d.of(('count()', 'exists()'))}", True)


def _firsts(d: Drawing) -> Recipe:
    """Take the first row of each value, which only PostgreSQL does."""
    name = d.path("int", "text", "bool", "decimal", single=True).name
    order = f".order_by({d.of((name, '-' + name))!r}, 'pk')"
    text = f"{_start(d)}.distinct({name!r}){order}"
    return Recipe(text + d.of(("", d.slice(), ".count()", ".values_list('pk')")), True)


def _related(d: Drawing) -> Recipe:
    text = f"{_start(d)}{d.order(by_key=True)}"
    links, sets = LINKS.get(d.model, {}), SETS.get(d.model, ())
    if links and d.maybe():
        return Recipe(f"{text}.select_related({', '.join(map(repr, links))})", True)
    if sets:
        name = d.of(sets)
        rows = f"q({MODEL_OF[name]}).order_by('pk')"
        return Recipe(f"{text}.prefetch_related(Prefetch({name!r}, {rows}))", True)
    return Recipe(text, True)


CHANGES = {
    "Review": (
        "stars=F('stars') + 1",
        "stars=Case(When(stars__gt=1, then=0), default=F('stars'))",
        "text=Concat('text', Value('!'))",
        "author=pk(Author, 2), stars=None",
        "answers=None",
        "product=pk(Product, 3)",
        "product=pk(Product, 5), text='moved'",
        "stars=Subquery(q(Category).filter(pk=OuterRef('product__category'))"
        ".values('rank')[:1])",
        "text=Subquery(q(Author).filter(pk=OuterRef('author')).values('name')[:1])",
        "stars=Length('text')",
    ),
    "Product": (
        "price=F('price') * 2",
        "name=Upper('name'), active=False",
        "category=pk(Category, 1)",
        "rival=F('pk')",
        "weight=F('weight') + F('price')",
        "data={'new': [1]}",
        "name=Subquery(q(Review).filter(product=OuterRef('pk')).order_by('pk')"
        ".values('text')[:1])",
    ),
    "Book": ("pages=F('pages') + 1", "name='book', pages=5", "price=3"),
    "Author": ("name=Concat('name', Value('x'))", "country='fr'", "favourite=None"),
    "Category": ("rank=F('rank') + 1", "parent=None", "name='same'"),
    "Tag": ("name='t'",),
    "Country": ("name=F('code')",),
    "Stock": ("amount=F('amount') - 1",),
    "Holiday": ("name='h'",),
}


@st.composite
def writes(draw: Any) -> Recipe:
    """Draw an update, or a deletion."""
    d = Drawing(draw, draw(st.sampled_from(sorted(PATHS))))
    if d.few(2) == 0:
        return Recipe(f"{_start(d)}.delete()", True)
    return Recipe(f"{_start(d)}.update({d.of(CHANGES[d.model])})", True)
