from django.contrib import admin
from django.urls import path

from pages.views import page
from records.views import records

urlpatterns = [
    path("page/<slug:slug>/", page, name="page"),
    path("records/", records, name="records"),
    path("admin/", admin.site.urls),
]
