"""Takes nothing, gives the app of the reviews, and says good-bye for it."""

from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    name = "reviews"

    def ready(self) -> None:
        from reviews import farewell

        farewell.listen()
