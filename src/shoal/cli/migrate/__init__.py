"""
`manage.py shoal migrate`: every database of the project, breadth first.

Takes a target, gives all databases at that target, or a report of who is where.
"""

from shoal.cli.migrate.command import add_arguments, run

__all__ = ["add_arguments", "run"]
