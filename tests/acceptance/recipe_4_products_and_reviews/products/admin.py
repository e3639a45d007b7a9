from django.contrib import admin

from products.models import Category, Product
from reviews.models import Review

admin.site.register(Category)


class ReviewInline(admin.TabularInline):
    """Rows of another server below those of this one."""

    model = Review
    raw_id_fields = ["author"]
    extra = 1


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ["name", "category"]  # one server: the admin may join them
    search_fields = ["name"]
    inlines = [ReviewInline]
