"""Takes objects of one edition of a cluster, copies them to another edition."""

from shoal.publishing.publisher import apublish, aunpublish, publish, unpublish
from shoal.publishing.report import PublishReport

__all__ = ["PublishReport", "apublish", "aunpublish", "publish", "unpublish"]
