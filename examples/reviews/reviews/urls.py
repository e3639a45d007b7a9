"""Takes a path, gives the view of reviews that answers it."""

from django.urls import path

from reviews import views

urlpatterns = [
    path("films/<int:pk>/review/", views.write, name="write"),
    path("films/<int:pk>/review/delete/", views.delete, name="delete"),
]
