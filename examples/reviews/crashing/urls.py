"""Takes a path, gives the staff's page on which a process is killed."""

from django.urls import path

from crashing import views

urlpatterns = [path("staff/crash/", views.crash, name="crash")]
