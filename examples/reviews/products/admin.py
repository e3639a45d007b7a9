"""Takes staff, lets them edit products."""

from django.contrib import admin

from products.models import Genre, Product


@admin.register(Genre)
class GenreAdmin(admin.ModelAdmin):
    search_fields = ("name",)


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ("title", "year", "review_count")
    list_filter = ("genres",)
    search_fields = ("search_text",)
    ordering = ("-review_count", "id")
    filter_horizontal = ("genres",)
    readonly_fields = ("review_count", "rating_sum")
    list_per_page = 50
    show_full_result_count = False
