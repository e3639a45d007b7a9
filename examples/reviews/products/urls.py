"""Takes a path, gives the view of products that answers it."""

from django.urls import path

from products import views

urlpatterns = [
    path("", views.home, name="home"),
    path("films/", views.browse, name="browse"),
    path("films/<int:pk>/", views.product, name="product"),
]
