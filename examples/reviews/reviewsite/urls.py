"""Takes a path, gives the view that answers it."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("products.urls")),
    path("", include("reviews.urls")),
    path("", include("accounts.urls")),
    path("", include("crashing.urls")),
    path("admin/", admin.site.urls),
]
handler404 = "reviewsite.errors.not_found"
handler500 = "reviewsite.errors.failed"

admin.site.site_header = "Shoal reviews: administration"
admin.site.site_title = "Shoal reviews"
