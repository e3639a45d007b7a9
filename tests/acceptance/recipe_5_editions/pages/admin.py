from django.contrib import admin, messages

from pages.models import Page, Section, Tag, Topic
from shoal.publishing import publish, unpublish

admin.site.register([Tag, Topic])


class SectionInline(admin.TabularInline):
    model = Section
    extra = 1


@admin.register(Page)
class PageAdmin(admin.ModelAdmin):
    """Editors see and change drafts here, since `pages.roles` says so."""

    list_display = ["title", "topic"]
    inlines = [SectionInline]
    actions = ["publish", "take_down"]

    @admin.action(description="Publish the selected pages")
    def publish(self, request, queryset):
        # Their topics and tags come along; sections, which point to them, are named.
        report = publish(queryset, source="draft", to="public", include=["sections"])
        messages.success(request, str(report))

    @admin.action(description="Take the selected pages off the site")
    def take_down(self, request, queryset):
        report = unpublish(queryset, source="draft", to="public")
        messages.success(request, str(report))
