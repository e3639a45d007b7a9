"""A paper's pages, in a public and a draft edition: every kind of relation there is."""

import uuid

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.functions import Upper


class Model(models.Model):
    """Says which app it is of, since the app is installed for these tests only."""

    class Meta:
        abstract = True
        app_label = "press"

    def __str__(self):
        return f"{self._meta.model_name} {self.pk}"


class Tag(Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50)


class Author(Model):
    name = models.CharField(max_length=50)
    email = models.CharField(max_length=50, unique=True)


class Topic(Model):
    name = models.CharField(max_length=50)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="sub")


class Page(Model):
    slug = models.CharField(max_length=50, unique=True)
    title = models.CharField(max_length=50)
    shout = models.GeneratedField(
        expression=Upper("title"),
        output_field=models.CharField(max_length=50),
        db_persist=True,
    )
    topic = models.ForeignKey(Topic, models.PROTECT, null=True, related_name="pages")
    editor = models.ForeignKey(Author, models.CASCADE, null=True, to_field="email")
    product = models.ForeignKey(
        "catalog.Product", models.DO_NOTHING, null=True, db_constraint=False
    )
    lead = models.ForeignKey("Section", models.CASCADE, null=True, related_name="+")
    tags = models.ManyToManyField(Tag, related_name="pages")
    authors = models.ManyToManyField(Author, through="Credit")
    related = models.ManyToManyField("self")
    data = models.JSONField(null=True)
    picture = models.FileField(upload_to="pictures")
    changed = models.DateTimeField(auto_now=True)


class Credit(Model):
    page = models.ForeignKey(Page, models.CASCADE, related_name="credits")
    author = models.ForeignKey(Author, models.CASCADE, related_name="credits")
    job = models.CharField(max_length=50)

    class Meta(Model.Meta):
        unique_together = (("page", "author"),)


class Section(Model):
    page = models.ForeignKey(Page, models.CASCADE, related_name="sections")
    position = models.PositiveIntegerField()
    text = models.TextField(default="")

    class Meta(Model.Meta):
        unique_together = (("page", "position"),)


class Footnote(Model):
    section = models.ForeignKey(Section, models.CASCADE, related_name="footnotes")
    text = models.TextField()


class Reply(Model):
    """What visitors write: it is on the public edition only."""

    section = models.ForeignKey(Section, models.PROTECT)


class Article(Page):
    byline = models.CharField(max_length=50)


class Feature(Article):
    colour = models.CharField(max_length=50)


class Slot(Model):
    number = models.PositiveIntegerField(unique=True)
    after = models.OneToOneField("self", models.SET_NULL, null=True)
    title = models.CharField(max_length=50, default="")


class Booking(Model):
    """Must have a slot of its own, and goes with it."""

    slot = models.OneToOneField(Slot, models.CASCADE)


class Place(Model):
    pk = models.CompositePrimaryKey("row", "seat")
    row = models.IntegerField()
    seat = models.IntegerField()
    name = models.CharField(max_length=50)


class Loose(Model):
    """Refers to a topic without any constraint."""

    topic = models.ForeignKey(Topic, models.DO_NOTHING, db_constraint=False)


class Note(Model):
    kind = models.ForeignKey(ContentType, models.DO_NOTHING, db_constraint=False)
    about = models.PositiveIntegerField()


class Soft(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(hidden=False)


class Item(Model):
    """Hides rows from its managers, even from the base manager."""

    hidden = models.BooleanField(default=False)
    about = models.ForeignKey("self", models.CASCADE, null=True)
    objects = Soft()

    class Meta(Model.Meta):
        base_manager_name = "objects"
