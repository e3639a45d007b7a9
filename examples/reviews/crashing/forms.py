"""Takes which button was pressed, and what the page was about, gives it checked."""

from django import forms

from crashing.killing import STEPS, Attempt


class KillForm(forms.Form):
    step = forms.ChoiceField(
        label="Kill it as soon as",
        choices=[*STEPS.items()],
        initial="decided",
        error_messages={"required": "Choose when to kill it."},
    )


class AttemptForm(forms.Form):
    """The review that the page is about: its address says it."""

    film = forms.IntegerField(min_value=1, max_value=2**63 - 1)
    author = forms.IntegerField(min_value=1, max_value=2**63 - 1)

    def attempt(self) -> Attempt | None:
        return Attempt(**self.cleaned_data) if self.is_valid() else None
