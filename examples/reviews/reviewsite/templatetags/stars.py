"""Takes a rating in half stars, gives what a page shows of it."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def in_stars(half_stars: float | None) -> str:
    """Write an average as "3.7", a rating as "3.5"."""
    return "none" if half_stars is None else f"{half_stars / 2:.1f}"


@register.simple_tag
def stars(half_stars: float | None) -> SafeString:
    """Draw five stars, filled as far as the rating goes, and say it in words."""
    if half_stars is None:
        return format_html('<span class="stars" style="--fill:{}"></span>', "0%")
    return format_html(
        '<span class="stars" role="img" aria-label="{} out of 5 stars"'
        ' style="--fill:{}%"></span>',
        f"{half_stars / 2:.2g}",
        round(half_stars * 10),
    )


@register.filter
def hue(text: object) -> int:
    """Give each film a colour of its own that stays the same."""
    return sum(ord(c) * (i + 7) for i, c in enumerate(str(text))) * 37 % 360


@register.filter
def initial(title: str) -> str:
    """Pick the letter that a film would be shelved under."""
    return next((c for c in title.upper() if c.isalnum()), "?")
