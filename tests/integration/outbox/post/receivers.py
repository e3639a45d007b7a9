"""What the workers of the tests receive."""

from shoal.transactions import outbox
from tests.integration.outbox.post.models import Applied

SOON = outbox.Retry(attempts=1000, first=0)


def apply(message: outbox.Message) -> None:
    Applied.objects.using("target").create(
        message=message.id, key=message.key or "", number=message.body
    )


def register() -> None:
    outbox.receiver("applied", cluster="target", retry=SOON)(apply)
    outbox.receiver("called", retry=SOON)(apply)


register()
