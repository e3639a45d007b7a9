from django.contrib import admin

from core.models import CustomerInformation, CustomerSupport


@admin.register(CustomerInformation)
class CustomerInformationAdmin(admin.ModelAdmin):
    list_display = ["name", "email"]
    search_fields = ["name", "email"]


@admin.register(CustomerSupport)
class CustomerSupportAdmin(admin.ModelAdmin):
    list_display = ["email", "question", "answered"]
    list_filter = ["answered"]
