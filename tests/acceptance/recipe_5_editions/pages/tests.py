from django.contrib.auth.models import User
from django.urls import reverse

from pages.models import Page, Topic
from shoal.publishing import publish
from shoal.routing import role
from shoal.testing import TestCase


class Editions(TestCase):
    def setUp(self):
        with role("site", "draft"):
            topic = Topic.objects.create(name="News")
            self.page = Page.objects.create(slug="hello", title="Hello", topic=topic)

    def test_a_visitor_sees_a_page_when_it_is_published(self):
        address = reverse("page", args=["hello"])
        self.assertEqual(self.client.get(address).status_code, 404)
        publish(self.page, source="draft", to="public")
        self.assertEqual(self.client.get(address).json()["title"], "Hello")

    def test_an_editor_sees_the_draft(self):
        self.client.force_login(User.objects.create_user("eve", is_staff=True))
        page = self.client.get(reverse("page", args=["hello"]))
        self.assertEqual(page.json()["title"], "Hello")
