"""What a worker in a process of its own begins with."""

import os
from pathlib import Path
from typing import Any

import django
import pytest

django.setup()

from celery import signals  # noqa: E402

from tests.integration.tasks.app import app, by_files  # noqa: E402
from tests.patience import be_patient  # noqa: E402
from tests.project.catalog.models import Product  # noqa: E402

be_patient(pytest.MonkeyPatch())
app.conf.update(by_files(Path(os.environ["TASKS_FOLDER"])))


@signals.worker_init.connect(weak=False)
def read_before_the_fork(**kwargs: Any) -> None:
    """The watch and a connection are there when the pool's processes begin."""
    Product.objects.count()
