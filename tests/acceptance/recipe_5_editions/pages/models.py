from django.db import models


class Topic(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name


class Page(models.Model):
    slug = models.SlugField(unique=True)
    title = models.CharField(max_length=100)
    topic = models.ForeignKey(Topic, models.PROTECT)
    tags = models.ManyToManyField(Tag, blank=True)

    def __str__(self):
        return self.title


class Section(models.Model):
    page = models.ForeignKey(Page, models.CASCADE, related_name="sections")
    text = models.TextField()

    def __str__(self):
        return self.text
