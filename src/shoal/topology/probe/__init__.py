"""
Takes aliases, asks each one's server who it is, gives frozen facts and what is wrong.

The only part of the topology that does I/O.
"""

from shoal.topology.probe.asking import probe
from shoal.topology.probe.facts import ServerFacts, Trouble
from shoal.topology.probe.problems import ServerProblem, problems

__all__ = ["ServerFacts", "ServerProblem", "Trouble", "probe", "problems"]
