"""Takes staff, lets them edit people."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from accounts.models import User


@admin.register(User)
class PersonAdmin(UserAdmin):
    list_display = ("username", "display_name", "review_count", "is_staff", "generated")
    list_filter = ("is_staff", "is_active", "generated")
    search_fields = ("username", "display_name")
    readonly_fields = ("review_count",)
    fieldsets = (
        *(UserAdmin.fieldsets or ()),
        ("On this site", {"fields": ("display_name", "review_count", "generated")}),
    )
