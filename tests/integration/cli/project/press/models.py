from django.db import models


class Issue(models.Model):
    book = models.ForeignKey("library.Book", models.DO_NOTHING, db_constraint=False)
    number = models.IntegerField(default=1)

    def __str__(self) -> str:
        return f"issue {self.number}"
