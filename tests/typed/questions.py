"""
What is asked of a column: Python text, so that what fails can be copied into a test.

`rows` in it is the queryset of all rows, `parts` are their groups by `part`, `COL` is
the column, `v` and `w` are values of it.
"""

from dataclasses import dataclass
from itertools import product

from django.db import models


@dataclass(frozen=True, kw_only=True)
class Question:
    text: str
    is_ordered: bool = True
    """Whether its rows come in one order only."""
    is_rounded: bool = False
    """Whether its floats depend on the order in which rows are added."""

    @property
    def adds(self) -> bool:
        return "Sum(" in self.text or "Avg(" in self.text


PAIRS = ".values_list('pk', 'COL')"
ORDERS = (
    "'COL'",
    "'-COL'",
    *(
        f"F('COL').{way}(nulls_{where}=True)"
        for way, where in product(("asc", "desc"), ("first", "last"))
    ),
)
CONDITIONS = (
    "COL=v",
    "COL__in=[v, w]",
    "COL__in=[v, None]",
    "COL__lt=v",
    "COL__lte=v",
    "COL__gt=v",
    "COL__range=(v, w)",
    "COL__isnull=True",
    "COL=F('COL')",
    "COL__in=rows.filter(part=1).values('COL')",
    "Q(COL=v) | Q(part=0)",
    "~Q(COL=v) & Q(part__gt=0)",
    "Exists(rows.filter(COL=OuterRef('COL'), pk__gt=OuterRef('pk')))",
)


def _lines(text: str, *, ordered: bool = True, rounded: bool = False) -> list[Question]:
    return [
        Question(text=line.strip(), is_ordered=ordered, is_rounded=rounded)
        for line in text.strip().split("\n")
    ]


ANY = [
    Question(text=text)
    for order in ORDERS
    for text in (
        f"rows.order_by({order}, 'pk'){PAIRS}",
        f"rows.order_by({order}, '-pk'){PAIRS}[1:5]",
        f"rows.order_by({order}).values_list('COL', flat=True)[2:6]",
        f"rows.values_list('COL', flat=True).distinct().order_by({order})",
        f"rows.values('COL').annotate(n=Count('pk')).order_by({order})[1:4]",
        f"rows.order_by('part', {order}, 'pk'){PAIRS}.iterator(chunk_size=2)",
    )
]
ANY += [
    Question(text=text)
    for condition in CONDITIONS
    for text in (
        f"rows.filter({condition}).order_by('pk'){PAIRS}",
        f"rows.exclude({condition}).order_by('pk').values_list('pk', flat=True)",
        f"rows.filter({condition}).count()",
        f"rows.aggregate(n=Count('pk', filter=Q({condition})))",
        f"rows.values('part').annotate(n=Count('COL', filter=Q({condition})))"
        ".order_by('part')",
        f"rows.annotate(x=Case(When({condition}, then=1), default=0))"
        ".order_by('x', 'pk').values_list('x', 'pk')",
    )
]
ANY += _lines(
    """
    rows.order_by('COL', 'pk').first()
    rows.order_by('COL', 'pk').last()
    rows.order_by('COL', 'pk').reverse()[1]
    rows.filter(COL__isnull=False).order_by('COL', 'pk').values('COL').latest('COL')
    rows.aggregate(n=Count('COL'), d=Count('COL', distinct=True))
    rows.values('COL').distinct().count()
    rows.values('COL').distinct().aggregate(n=Count('COL'))
    parts.annotate(n=Count('COL', distinct=True))
    rows.values('COL').annotate(n=Sum('part')).filter(n__gt=1).order_by('COL')
    rows.values('COL', 'part').annotate(n=Count('pk')).order_by('COL', 'part')
    rows.annotate(r=Window(Rank(), order_by=['COL'])).order_by('pk').values_list('r')
    rows.annotate(x=F('COL')).order_by('x', 'pk').values_list('x', 'pk')
    rows.annotate(x=Coalesce('COL', Value(v, field))).order_by('x', 'pk').values('x')
    rows.annotate(x=NullIf('COL', Value(v, field))).order_by('pk').values_list('x')
    rows.filter(part=0).values_list('COL').union(rows.values_list('COL')).count()
    rows.order_by('pk').in_bulk()
    """
)
ANY += _lines(
    """
    rows.values_list('COL', flat=True).distinct()
    rows.values('COL').annotate(n=Count('pk'), least=Min('part'))
    rows.values('COL').annotate(n=Count('pk')).filter(n__gt=1)
    rows.filter(part=0).values_list('COL').union(rows.filter(part=1).values_list('COL'))
    rows.filter(part=0).values_list('COL').intersection(rows.values_list('COL'))
    rows.values_list('COL').difference(rows.filter(part=0).values_list('COL'))
    rows.filter(COL=v)
    """,
    ordered=False,
)
EXTREMES = _lines(
    """
    rows.aggregate(x=Min('COL'), y=Max('COL'))
    rows.aggregate(x=Max('COL', default=Value(v, field)))
    parts.annotate(x=Min('COL'), y=Max('COL'))
    parts.annotate(x=Max('COL')).filter(x__gt=v)
    rows.annotate(x=Window(Max('COL'), partition_by=['part'])).order_by('pk')
    rows.values('part').annotate(x=Min('COL')).order_by('x', 'part')[1:3]
    """
)
SUMS = _lines(
    """
    rows.aggregate(x=Sum('COL'), y=Avg('COL'))
    rows.aggregate(x=Sum('COL', distinct=True), y=Avg('COL', distinct=True))
    rows.aggregate(x=Sum('COL', default=Value(v, field)), n=Count('COL'))
    rows.aggregate(x=Sum('COL', filter=Q(part=1)), y=Avg('COL', filter=Q(part=7)))
    parts.annotate(x=Sum('COL'))
    parts.annotate(x=Avg('COL'))
    rows.values('part').annotate(x=Avg('COL')).order_by('-x', 'part')
    parts.annotate(x=Sum('COL', distinct=True))
    parts.annotate(x=Sum('COL')).filter(x__gte=v)
    rows.values('COL').annotate(x=Sum('COL'), y=Avg('COL')).order_by('COL')
    rows.annotate(x=Window(Sum('COL'), partition_by=['part'])).order_by('pk')
    rows.aggregate(x=Max('COL') - Min('COL'))
    """
)
NUMBERS = SUMS + _lines(
    """
    rows.aggregate(x=Sum('COL', default=0), n=Count('COL'))
    rows.annotate(x=F('COL') * 2).order_by('x', 'pk').values_list('x', 'pk')
    rows.annotate(x=F('COL') - F('part')).order_by('-x', 'pk').values_list('x')
    rows.annotate(x=Round('COL')).order_by('x', 'pk').values_list('x', 'pk')
    rows.annotate(x=-F('COL')).filter(x__lt=v).order_by('pk').values_list('x')
    rows.annotate(x=Cast('COL', TextField())).order_by('pk').values_list('x')
    rows.annotate(x=Mod('COL', 3)).order_by('pk').values_list('x')
    rows.aggregate(x=Sum(F('COL') * 2), y=Avg(F('COL') + 1))
    rows.aggregate(x=Sum('COL') + 1, y=Sum('COL') / Count('COL'))
    rows.annotate(x=Abs('COL')).values('x').annotate(n=Count('pk')).order_by('x')
    """
)
STATISTICS = _lines(
    """
    rows.aggregate(x=StdDev('COL'), y=Variance('COL'))
    rows.filter(COL__isnull=False).aggregate(x=StdDev('COL'), y=Variance('COL'))
    rows.filter(COL__gt=0).values('part').annotate(x=StdDev('COL')).order_by('part')
    rows.aggregate(x=StdDev('COL', sample=True), y=Variance('COL', sample=True))
    rows.aggregate(x=StdDev('COL', filter=Q(part=1)), y=Variance('COL', default=0))
    rows.aggregate(x=Variance('COL', filter=Q(part=1), sample=True), n=Count('pk'))
    parts.annotate(x=StdDev('COL'))
    parts.annotate(x=Variance('COL', sample=True))
    rows.values('pk').annotate(x=Variance('COL')).order_by('pk')
    """,
    rounded=True,
)
TEXTS = _lines(
    """
    rows.filter(COL__iexact=v).order_by('pk').values_list('pk')
    rows.filter(COL__contains=v).order_by('pk').values_list('pk')
    rows.filter(COL__icontains=v).order_by('pk').values_list('pk')
    rows.filter(COL__startswith=v).order_by('pk').values_list('pk')
    rows.filter(COL__endswith=v).order_by('pk').values_list('pk')
    rows.filter(COL__gt='a', COL__lt='b').order_by('COL', 'pk').values_list('COL')
    rows.order_by(Lower('COL'), 'pk').values_list('pk', Lower('COL'))
    rows.order_by(Length('COL').desc(), 'pk').values_list('pk')
    rows.order_by(Collate('COL', collation), 'pk').values_list('pk', 'COL')
    rows.order_by(Concat('COL', Value('-'), 'COL'), 'pk').values_list('pk')
    rows.annotate(x=Substr('COL', 1, 1)).order_by('x', 'pk').values_list('pk', 'x')
    rows.annotate(x=Length('COL')).values('x').annotate(n=Count('pk')).order_by('x')
    rows.annotate(x=Upper('COL')).order_by('pk').values_list('x')
    """
)
DAYS = _lines(
    """
    rows.filter(COL__year=2024).order_by('pk').values_list('pk')
    rows.filter(COL__week_day=1).order_by('pk').values_list('pk')
    rows.annotate(x=TruncMonth('COL')).order_by('x', 'pk').values_list('x', 'pk')
    rows.annotate(x=TruncWeek('COL')).values('x').annotate(n=Count('pk')).order_by('x')
    rows.annotate(x=ExtractIsoYear('COL')).order_by('-x', 'pk').values_list('x')
    rows.annotate(x=TruncQuarter('COL')).aggregate(n=Count('x', distinct=True))
    rows.dates('COL', 'month')
    rows.dates('COL', 'day', order='DESC')[1:3]
    """
)
MOMENTS = DAYS + _lines(
    """
    rows.filter(COL__date='2024-03-31').order_by('pk').values_list('pk')
    rows.filter(COL__hour=2).order_by('COL', 'pk').values_list('COL')
    rows.annotate(x=TruncDate('COL')).values('x').annotate(n=Count('pk')).order_by('x')
    rows.annotate(x=TruncHour('COL')).order_by('-x', 'pk').values_list('x', 'pk')
    rows.annotate(x=TruncTime('COL')).order_by('x', 'pk').values_list('x', 'pk')
    rows.datetimes('COL', 'hour')
    rows.datetimes('COL', 'second', order='DESC')[1:4]
    rows.annotate(x=TruncDay('COL', tzinfo=berlin)).order_by('x', 'pk').values_list('x')
    rows.annotate(x=ExtractHour('COL', tzinfo=berlin)).order_by('x', 'pk').values('x')
    rows.annotate(x=TruncDate('COL', tzinfo=berlin)).aggregate(n=Max('x'))
    rows.annotate(x=TruncHour('COL', tzinfo=berlin)).order_by('pk').values_list('x')
    rows.annotate(x=F('COL') + hour).order_by('x', 'pk').values_list('x', 'pk')
    rows.annotate(x=F('COL') - Value(v, field)).order_by('x', 'pk').values_list('x')
    """
)
SPANS = SUMS + _lines(
    """
    rows.annotate(x=F('COL') + hour).order_by('-x', 'pk').values_list('x', 'pk')
    rows.filter(COL__lt=hour).order_by('pk').values_list('COL')
    """
)
JSONS = _lines(
    """
    rows.filter(COL__a=1).order_by('pk').values_list('pk')
    rows.filter(COL__a__gt=1).order_by('pk').values_list('pk')
    rows.filter(COL__a__isnull=True).order_by('pk').values_list('pk')
    rows.filter(COL__a=None).order_by('pk').values_list('pk')
    rows.filter(COL__a__in=[1, '1']).order_by('pk').values_list('pk')
    rows.filter(COL__a__0=1).order_by('pk').values_list('pk')
    rows.filter(COL__has_key='a').order_by('pk').values_list('pk', 'COL')
    rows.filter(COL__has_any_keys=['b', 'c']).order_by('pk').values_list('pk')
    rows.filter(COL__contains={'a': 1}).order_by('pk').values_list('pk')
    rows.exclude(COL__a=1).order_by('pk').values_list('pk')
    rows.order_by('COL__a', 'pk').values_list('pk', 'COL__a')
    rows.order_by('-COL__a__b', 'pk').values_list('COL__a__b', 'COL')[1:5]
    rows.order_by(KT('COL__a'), 'pk').values_list('pk', KT('COL__a'))
    rows.values('COL__a').annotate(n=Count('pk')).order_by('COL__a')
    rows.values_list('COL__a', flat=True).distinct().order_by('COL__a')
    rows.aggregate(n=Count('COL__a', distinct=True), m=Max('COL__a'))
    parts.annotate(x=Max(KT('COL__a')))
    rows.annotate(x=Cast(KT('COL__a'), TextField())).order_by('x', 'pk').values('x')
    """
)
ARRAYS = _lines(
    """
    rows.filter(COL__contains=v).order_by('pk').values_list('pk')
    rows.filter(COL__contained_by=v).order_by('pk').values_list('pk')
    rows.filter(COL__overlap=v).order_by('pk').values_list('pk')
    rows.filter(COL__len__gt=1).order_by('pk').values_list('pk', 'COL__len')
    rows.order_by('COL__0', 'pk').values_list('pk', 'COL__0')
    rows.order_by('-COL__0_2', 'pk').values_list('pk', 'COL__0_2')[1:5]
    rows.values('COL__0').annotate(n=Count('pk')).order_by('COL__0')
    rows.values('COL__len').annotate(n=Count('pk')).order_by('COL__len')
    rows.aggregate(x=Max('COL__0'), n=Count('COL__0', distinct=True))
    """
)
RANGES = _lines(
    """
    rows.filter(COL__contains=v).order_by('pk').values_list('pk')
    rows.filter(COL__overlap=v).order_by('pk').values_list('pk')
    rows.filter(COL__fully_lt=v).order_by('pk').values_list('pk')
    rows.filter(COL__adjacent_to=v).order_by('pk').values_list('pk')
    rows.filter(COL__isempty=True).order_by('pk').values_list('pk')
    rows.filter(COL__startswith__isnull=True).order_by('pk').values_list('pk')
    rows.filter(COL__upper_inf=True).order_by('pk').values_list('pk')
    rows.order_by('COL__startswith', 'pk').values_list('pk', 'COL__startswith')
    rows.order_by('-COL__endswith', 'pk').values_list('pk', 'COL__endswith')[1:5]
    rows.values('COL__startswith').annotate(n=Count('pk')).order_by('COL__startswith')
    rows.aggregate(x=Max('COL__endswith'), y=Min('COL__startswith'))
    """
)
ON = _lines(
    """
    rows.order_by('COL', 'pk').distinct('COL').values_list('COL', 'pk')
    rows.order_by('part', '-COL', 'pk').distinct('part').values_list('part', 'pk')
    """
)
"""DISTINCT ON, which PostgreSQL alone has."""
COLLECTED = _lines(
    """
    rows.aggregate(x=ArrayAgg('COL', order_by=['COL', 'pk']))
    rows.aggregate(x=ArrayAgg('COL', order_by=[F('COL').desc(nulls_last=True), 'pk']))
    rows.aggregate(x=ArrayAgg('COL', order_by=['-pk'], filter=Q(part=1)))
    rows.aggregate(x=ArrayAgg('COL', distinct=True, order_by=['COL']))
    rows.aggregate(x=ArrayAgg('COL', filter=Q(part=7), default=Value([v], listed)))
    parts.annotate(x=ArrayAgg('COL', order_by=['-COL', 'pk']))
    rows.values('COL').annotate(x=ArrayAgg('pk', order_by=['pk'])).order_by('COL')
    rows.aggregate(x=JSONBAgg('COL', order_by=['pk']))
    parts.annotate(x=JSONBAgg('COL', order_by=['COL', 'pk']))
    rows.aggregate(x=JSONBAgg('COL', distinct=True, order_by=['COL']))
    rows.aggregate(x=JSONBAgg('COL', filter=Q(part=7), default=Value([], JSONField())))
    rows.aggregate(x=StringAgg(as_text, Value(','), order_by=['pk']))
    parts.annotate(x=StringAgg(as_text, Value(','), order_by=['-pk']))
    rows.aggregate(x=StringAgg(as_text, Value(','), distinct=True, order_by=[as_text]))
    rows.filter(part=7).aggregate(x=StringAgg(as_text, Value(','), default=Value('-')))
    parts.annotate(x=BoolOr(Q(COL=v)), y=BoolAnd(Q(COL__gt=v)))
    rows.aggregate(x=BoolAnd(Q(COL__gt=w)), y=BoolOr(Q(COL=v), filter=Q(part=1)))
    """
)
"""By aggregates of `django.contrib.postgres`."""
JOINED = _lines(
    """
    rows.aggregate(x=StringAgg(as_text, Value(','), order_by=['part', 'pk']))
    rows.aggregate(x=StringAgg(as_text, Value('-'), order_by=['-pk']), n=Count('pk'))
    parts.annotate(x=StringAgg(as_text, Value(','), order_by=['pk']))
    rows.aggregate(x=StringAgg(as_text, Value(','), filter=Q(part=7)), y=Max('part'))
    """
)
"""By what Django 6.0 has for every vendor."""
BITS = _lines(
    """
    rows.aggregate(x=BitAnd('COL'), y=BitOr('COL'), z=BitXor('COL'))
    parts.annotate(x=BitAnd('COL'), y=BitOr('COL'))
    rows.aggregate(x=BitAnd('COL', filter=Q(part=7), default=5), y=BitXor('COL'))
    """
)
PAIRED = _lines(
    """
    rows.aggregate(x=RegrAvgX('COL', 'part'), y=RegrSlope('COL', 'part'))
    rows.aggregate(x=CovarPop('COL', 'part'), y=CovarPop('COL', 'part', sample=True))
    parts.annotate(x=RegrCount('COL', 'pk'))
    """,
    rounded=True,
)
OF_KIND = {
    "number": EXTREMES + NUMBERS + STATISTICS,
    "float": EXTREMES,
    "text": EXTREMES + TEXTS,
    "day": EXTREMES + DAYS,
    "moment": EXTREMES + MOMENTS,
    "clock": EXTREMES,
    "span": EXTREMES + SPANS,
    "uuid": EXTREMES,
    "address": EXTREMES,
    "json": JSONS,
    "array": EXTREMES + ARRAYS,
    "range": RANGES,
}


def questions_of(vendor: str, kind: str) -> list[Question]:
    found = ANY + OF_KIND.get(kind, []) + (ON if vendor == "postgresql" else [])
    return found + (JOINED if hasattr(models, "StringAgg") else [])


def collecting(name: str, kind: str) -> list[Question]:
    """Return what PostgreSQL alone can be asked, with its own aggregates."""
    found = list(COLLECTED)
    if name in ("small", "whole"):
        found += BITS
    return found + (PAIRED if kind == "number" else [])
