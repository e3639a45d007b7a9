"""Draws the parts of a query: conditions, expressions, orders, as Python text."""

from typing import Any

from hypothesis import strategies as st

from tests.sharded.paths import LINKS, PATHS, Path

NUMERIC = ("int", "decimal", "float")
SCALARS = {
    "int": ("-3", "0", "1", "2", "5"),
    "text": tuple(map(repr, ("", "a", "A", "b", "ab", "ü", "%", "_x", "O'x", "9"))),
    "decimal": ("Decimal('0.10')", "Decimal('1.50')", "1", "0"),
    "float": ("-0.25", "0", "0.5", "1.5"),
    "bool": ("True", "False"),
    "date": ("date(2023, 12, 31)", "date(2024, 2, 29)", "date(2024, 1, 1)"),
    "time": ("time(2023, 12, 31, 23, 59, 59, 5)", "time(2024, 1, 1)"),
    "json": ("{}", '{"a": 1}', '{"a": "x"}'),
}
COMPARISONS = ("gt", "gte", "lt", "lte", "exact", "exact", "in", "range", "isnull")
TEXTUAL = ("exact", "iexact", "contains", "icontains", "startswith", "gt", "in")
PARTS = {"date": ("year", "month"), "time": ("year", "hour", "date__year")}


class Drawing:
    """Draws the parts of one query on `model`."""

    def __init__(self, draw: Any, model: str) -> None:
        self._draw, self.model = draw, model
        self.paths = PATHS[model]

    def of(self, values: Any) -> Any:
        return self._draw(st.sampled_from(list(values)))

    def maybe(self) -> bool:
        return bool(self._draw(st.booleans()))

    def few(self, most: int) -> int:
        return int(self._draw(st.integers(0, most)))

    def path(self, *types: str, single: bool = False) -> Path:
        wanted = [
            one
            for one in self.paths
            if (not types or one.type in types) and not (single and one.is_many)
        ]
        found: Path = self.of(wanted or self.paths)
        return found

    def value(self, type_: str) -> str:
        if type_ in SCALARS:
            return str(self.of(SCALARS[type_]))
        return f"pk({type_}, {self.few(9)})"

    def joins_many(self, text: str) -> bool:
        """Say whether one row may come several times, each with another value."""
        return any(path.is_many and path.name in text for path in self.paths)

    # Conditions.

    def condition(self) -> str:
        kind = self.few(9)
        if kind == 0:
            return self._compared_to_a_field()
        if kind == 1:
            return self._exists()
        if kind == 2:
            return self._in_subquery()
        if kind > 6:
            links = {p.type for p in self.paths} & {*PATHS}
            return f"Q({self.lookup(self.path(*sorted(links)))})"
        return f"Q({self.lookup(self.path())})"

    def lookup(self, path: Path) -> str:
        name, kind = path.name, path.type
        if kind == "json":
            return str(
                self.of(
                    (
                        f"{name}__a=1",
                        f"{name}__a__isnull=True",
                        f"{name}__has_key='a'",
                        f"{name}__isnull=False",
                        f"{name}__b__0=1",
                    )
                )
            )
        if kind == "bool":
            return f"{name}={self.value(kind)}"
        if kind == "text":
            lookup = self.of((*TEXTUAL, "isnull"))
        elif kind in SCALARS:
            lookup = self.of(COMPARISONS)
        else:
            lookup = self.of(("exact", "exact", "in", "isnull"))
        if kind in PARTS and self.few(2) == 0:
            part = self.of(PARTS[kind])
            return f"{name}__{part}={12 if part == 'hour' else 2024}"
        return f"{name}__{lookup}={self._right(lookup, kind)}"

    def _right(self, lookup: str, kind: str) -> str:
        if lookup == "isnull":
            return str(self.maybe())
        if lookup == "in":
            values = [self.value(kind) for _ in range(self.few(3))]
            return f"[{', '.join(values)}]"
        if lookup == "range":
            return f"({self.value(kind)}, {self.value(kind)})"
        return self.value(kind)

    def _compared_to_a_field(self) -> str:
        left, right = self.path(*NUMERIC), self.path(*NUMERIC)
        if {left.type, right.type} - set(NUMERIC):
            left = right = self.path("text")
        return f"Q({left.name}__{self.of(('gt', 'lte', 'exact'))}=F({right.name!r}))"

    def _linked(self) -> list[tuple[str, str]]:
        """Return models with a foreign key to this one, and the name of that."""
        found = [
            (model, name)
            for model, links in LINKS.items()
            for name, target in links.items()
            if target == self.model
        ]
        return found or [(self.model, "pk")]

    def _exists(self) -> str:
        model, link = self.of(self._linked())
        inner = Drawing(self._draw, model)
        more = f", {inner.tree(1)}" if self.maybe() else ""
        more = f"{more[2:]}, " if more else ""
        sign = "~" if self.maybe() else ""
        return f"{sign}Exists(q({model}).filter({more}{link}=OuterRef('pk')))"

    def _in_subquery(self) -> str:
        links = [path for path in self.paths if path.type in PATHS]
        path = self.of(links) if links else None
        if path is None or path.type in ("Stock", "Holiday"):
            return f"Q({self.lookup(self.path())})"
        inner = Drawing(self._draw, path.type)
        limit = f".order_by('pk')[:{self.few(4)}]" if self.few(3) == 0 else ""
        if limit:
            # MariaDB has no LIMIT in such a subquery.
            rows = f"[*q({path.type}).filter({inner.tree(1)}).order_by('pk')"
            return f"Q({path.name}__in={rows}.values_list('pk', flat=True)[:3]])"
        return f"Q({path.name}__in=q({path.type}).filter({inner.tree(1)}))"

    def tree(self, depth: int = 2) -> str:
        if depth == 0 or self.few(2) == 0:
            return self.condition()
        kind = self.of(("~", "&", "|", "|"))
        if kind == "~":
            return f"~{_wrapped(self.tree(depth - 1))}"
        return f"({self.tree(depth - 1)} {kind} {self.tree(depth - 1)})"

    def filters(self) -> str:
        found = ""
        for _ in range(self.few(2)):
            found += f".{self.of(('filter', 'filter', 'exclude'))}({self.tree()})"
        return found

    # What is selected.

    def aggregate(self) -> str:
        kind = self.few(6)
        path = self.path(*NUMERIC)
        if path.type not in NUMERIC:
            kind = 0
        if kind <= 1:
            more = ", distinct=True" if self.maybe() else ""
            return f"Count({self.path().name!r}{more})"
        if kind == 2:
            return f"Count('pk', filter={self.condition()})"
        name = ("Sum", "Avg", "Min", "Max")[kind - 3]
        more = ", default=0" if self.few(3) == 0 else ""
        if name in ("Sum", "Avg") and self.few(3) == 0:
            more += ", distinct=True"
        if self.few(4) == 0:
            more += f", filter={self.condition()}"
        return f"{name}({path.name!r}{more})"

    def expression(self) -> str:
        """Return an expression with one value for each row."""
        shapes: Any = (self._case, self._subquery, self._exists, self._of_date)
        shapes += (self._of_number, self._of_text, self._window)
        return str(self.of(shapes)())

    def _of_number(self) -> str:
        number = self.path("int", single=True)
        if number.type != "int":
            return "Value(1)"
        return f"Coalesce(F({number.name!r}), Value(7)) * 2"

    def _of_text(self) -> str:
        name = self.path("text", single=True).name
        joined = f"Concat(Lower({name!r}), Value('-'), {name!r})"
        return str(self.of((joined, f"Length({name!r})")))

    def _of_date(self) -> str:
        dates = [p for p in self.paths if p.type in PARTS and not p.is_many]
        if not dates:
            return "Value(1)"
        function = self.of(("ExtractYear", "TruncMonth"))
        return f"{function}({self.of(dates).name!r})"

    def _case(self) -> str:
        then, otherwise = self.value("int"), self.value("int")
        return f"Case(When({self.tree(1)}, then={then}), default={otherwise})"

    def _subquery(self) -> str:
        model, link = self.of(self._linked())
        if link == "pk":
            return "Value(1)"
        name = PATHS[model][0].name
        return (
            f"Subquery(q({model}).filter({link}=OuterRef('pk'))"
            f".order_by(F({name!r}).desc(nulls_last=True), 'pk').values({name!r})[:1])"
        )

    def _window(self) -> str:
        number = self.path("int", single=True).name
        by = self.path("int", "text", "bool", single=True).name
        order = self.of(("'pk'", f"F({number!r}).asc(nulls_first=True)"))
        function = self.of(("Rank()", f"Max({number!r})", f"Count({number!r})"))
        return f"Window({function}, partition_by=[F({by!r})], order_by=[{order}])"

    def order(self, *, by_key: bool) -> str:
        found = []
        for _ in range(self.few(2)):
            path = self.path("int", "text", "decimal", "float", "bool", single=True)
            sign = self.of(("", "-", "asc", "desc"))
            if len(sign) > 1:
                nulls = self.of(("nulls_first", "nulls_last"))
                found.append(f"F({path.name!r}).{sign}({nulls}=True)")
            else:
                found.append(repr(sign + path.name))
        if by_key:
            found.append(repr(self.of(("pk", "-pk"))))
        return f".order_by({', '.join(found)})" if found else ""

    def slice(self) -> str:
        start = self.few(4)
        return f"[{start or ''}:{start + self.few(6)}]"


def _wrapped(text: str) -> str:
    return text if text.startswith(("Q(", "Exists(", "(")) else f"({text})"
