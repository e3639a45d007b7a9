"""Takes what this page has read so far, gives from which servers and why, in words."""

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from shoal.routing import Choice, choices

register = template.Library()

SUBJECTS = {"products": "Films", "reviews": "Reviews"}
FROM_REPLICA = {
    "caught up": "from replica {}, which had caught up",
    "any replica": "from replica {}",
}
FROM_PRIMARY = {
    "own write": "from the primary: this page has just changed them",
    "not caught up": "from the primary: the replicas had not caught up",
    "no replica": "from the primary: no replica could be reached in time",
    "transaction": "from the primary: a change was under way",
    "pinned": "from the primary: this page always asks it",
    "consistency": "from the primary: these are always read there",
}
WORDS = FROM_REPLICA | FROM_PRIMARY


@register.simple_tag
def sources() -> SafeString:
    """Say it for each cluster with replicas; stands behind all that is read."""
    return format_html_join(
        "\n",
        '<p class="source" data-cluster="{}" data-reason="{}">{} came {}.</p>',
        (
            (name, choice.reason, SUBJECTS[name], in_words(choice))
            for name, choice in sorted(choices().items())
        ),
    )


def in_words(choice: Choice) -> str:
    return WORDS[choice.reason].format(choice.alias)
