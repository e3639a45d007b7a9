from django.conf import settings
from django.db import models


class Note(models.Model):
    # The author is on another server. No database can check or cascade over there,
    # so neither is asked to.
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, db_constraint=False
    )
    text = models.TextField()

    def __str__(self):
        return self.text
