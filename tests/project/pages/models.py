"""Pages: on the cluster `pages`, in a public and a draft edition."""

from django.db import models


class Topic(models.Model):
    name = models.CharField(max_length=50)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="sub")

    def __str__(self) -> str:
        return self.name


class Page(models.Model):
    title = models.CharField(max_length=200)
    topic = models.ForeignKey(Topic, models.PROTECT, null=True, related_name="pages")
    topics = models.ManyToManyField(Topic, related_name="tagged")
    changed = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.title


class Section(models.Model):
    page = models.ForeignKey(Page, models.CASCADE, related_name="sections")
    text = models.TextField()

    def __str__(self) -> str:
        return self.text


class Article(Page):
    """A multi-table child."""

    byline = models.CharField(max_length=100)
