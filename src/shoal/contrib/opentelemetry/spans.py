"""Takes choices of members as they are made, puts them on the current span."""

from opentelemetry.trace import get_current_span

from shoal.routing import Choice
from shoal.topology import Cluster, get_topology

EVENT = "shoal.choice"


def annotate(edition: Cluster, choice: Choice) -> None:
    """
    Listen to choices.

    The attributes are those of the latest one, to search by. The events are all of
    them: a unit of work may read from several clusters, and move from one server to
    another.
    """
    span = get_current_span()
    if not span.is_recording():
        return
    cluster, _ = get_topology().by_alias[edition.name]
    attributes = {
        "shoal.cluster": cluster.name,
        "shoal.alias": choice.alias,
        "shoal.reason": choice.reason,
    }
    span.set_attributes(attributes)
    span.add_event(EVENT, attributes)
