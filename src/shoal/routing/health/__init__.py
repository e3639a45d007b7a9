"""Which servers are well, and how far each replica has come, without asking them."""

from shoal.routing.health.process import get_watch, stop_watching
from shoal.routing.health.values import Health, State
from shoal.routing.health.watch import Watch

__all__ = ["Health", "State", "Watch", "get_watch", "stop_watching"]
