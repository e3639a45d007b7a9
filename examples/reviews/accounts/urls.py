"""Takes a path, gives the view of accounts that answers it."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from accounts import views
from accounts.forms import LogInForm

urlpatterns = [
    path("account/", views.account, name="account"),
    path("account/signup/", views.sign_up, name="signup"),
    path(
        "account/login/",
        LoginView.as_view(
            authentication_form=LogInForm,
            template_name="accounts/login.html",
            redirect_authenticated_user=True,
        ),
        name="login",
    ),
    path("account/logout/", LogoutView.as_view(), name="logout"),
    path("people/<str:username>/", views.person, name="person"),
]
