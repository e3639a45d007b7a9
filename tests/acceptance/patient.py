"""
Runs inside a project. Takes a program and its arguments, runs it as `python` would.

A server that is slow, as the whole machine may be, is not left out in it.
"""

import os
import runpy
import sys

from shoal.routing.health import judging, watch

PATIENCE = 60.0
"""Seconds."""

watch.SILENT_AFTER = judging.SETTLED_AFTER = PATIENCE
del sys.argv[0]
sys.path[0] = os.getcwd()
runpy.run_path(sys.argv[0], run_name="__main__")
