from django.urls import path

from stock.views import items

urlpatterns = [path("items/", items)]
