from django.urls import path

from config.views import overview

urlpatterns = [path("", overview)]
