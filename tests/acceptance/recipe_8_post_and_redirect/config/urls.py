from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from reviews.views import areviews, reviews

urlpatterns = [
    path("login/", LoginView.as_view()),
    path("logout/", LogoutView.as_view()),
    path("reviews/", reviews),
    path("areviews/", areviews),
]
