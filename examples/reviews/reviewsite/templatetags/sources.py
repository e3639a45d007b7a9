"""Takes what this page has read so far, gives from which servers and why, in words."""

from collections.abc import Iterator

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from shoal.routing import Choice, choices

from reviewsite.queries import Trace, tracing

register = template.Library()

SUBJECTS = {"products": "Films"}
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
FROM_SHARDS = {
    "query_gathered": "from several shards, brought together on {home}",
    "query_scattered": "from {shards} shards, and were merged",
    "query_on_one_shard": "from one shard, {server}",
}


@register.simple_tag
def sources() -> SafeString:
    """Say it for films and for reviews; stands behind all that is read."""
    trace = tracing.get(None)
    return format_html_join(
        "\n",
        '<p class="source" data-cluster="{}" data-reason="{}">{} came {}.</p>',
        [*of_replicas(), *(of_shards(trace) if trace else ())],
    )


def of_replicas() -> Iterator[tuple[str, str, str, str]]:
    for name, choice in sorted(choices().items()):
        yield name, choice.reason, SUBJECTS[name], in_words(choice)


def of_shards(trace: Trace) -> Iterator[tuple[str, str, str, str]]:
    """Of several queries, one that needed several shards counts."""
    for event, words in FROM_SHARDS.items():
        for query in trace.queries:
            if query.event == event:
                server = query.server.name if query.server else ""
                came = words.format(
                    home=query.home, shards=len(query.parts), server=server
                )
                yield "reviews", event, "Reviews", came
                return


def in_words(choice: Choice) -> str:
    return WORDS[choice.reason].format(choice.alias)
