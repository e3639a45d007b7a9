"""Takes what a person types, gives an account or what is wrong with it."""

from django import forms
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm

from accounts.models import User


class LogInForm(AuthenticationForm):
    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.fields["username"].label = "User name"


class SignUpForm(UserCreationForm):
    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "display_name")
        labels = {"username": "User name"}  # noqa: RUF012
        help_texts = {  # noqa: RUF012
            "username": "Letters, digits and @ . + - _ only. You log in with it.",
            "display_name": "Optional. Shown beside your reviews.",
        }


class NameForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ("display_name",)
