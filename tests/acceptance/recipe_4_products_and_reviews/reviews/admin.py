from django.contrib import admin

from reviews.models import Reply, Review


class ReplyInline(admin.TabularInline):
    model = Reply
    extra = 1


@admin.register(Review)
class ReviewAdmin(admin.ModelAdmin):
    list_display = ["product", "author", "stars"]
    list_filter = ["stars", "product"]
    search_fields = ["text"]  # not "product__name": that is a join across servers
    autocomplete_fields = ["product"]
    raw_id_fields = ["author"]
    inlines = [ReplyInline]

    # For foreign keys in `list_display` the admin joins their tables. Tell it not to,
    # and fetch what they point to with one query for each server.
    list_select_related = ()
    sortable_by = ["stars"]  # products sort by their name, which is not here

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("product", "author")


@admin.register(Reply)
class ReplyAdmin(admin.ModelAdmin):
    """Its review is chosen from a list: an ordinary foreign key."""
