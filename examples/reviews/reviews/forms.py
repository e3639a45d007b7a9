"""Takes stars and words, gives a review or what is wrong with it."""

from django import forms

from reviews.models import RATINGS, Review


class ReviewForm(forms.ModelForm):
    half_stars = forms.TypedChoiceField(
        label="Your rating",
        choices=RATINGS,
        coerce=int,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose how many stars."},
    )

    class Meta:
        model = Review
        fields = ("half_stars", "text")
        labels = {"text": "Your review"}  # noqa: RUF012
        help_texts = {"text": "Optional, up to 5,000 letters."}  # noqa: RUF012
        widgets = {"text": forms.Textarea(attrs={"rows": 8})}  # noqa: RUF012
