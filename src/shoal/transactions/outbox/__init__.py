"""
Takes a message in the transaction of what it tells of, delivers it afterwards.

At least once to any function, and exactly once to one that writes on a cluster. Used
in `models.py` and `receivers.py`, before the apps are ready; so nothing here imports a
model before it is needed.
"""

from shoal.transactions.outbox.delivering import deliver
from shoal.transactions.outbox.receiving import deliver_to, receiver
from shoal.transactions.outbox.sending import send
from shoal.transactions.outbox.values import Message, Retry

__all__ = ["Message", "Retry", "deliver", "deliver_to", "receiver", "send"]
