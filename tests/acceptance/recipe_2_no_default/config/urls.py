from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import path

from acme.views import notes

urlpatterns = [
    path("", notes, name="notes"),
    path("login/", LoginView.as_view(template_name="login.html"), name="login"),
    path("admin/", admin.site.urls),
]
