"""Products, reviews and accounts on three servers, and one admin that edits them."""

import json
from typing import Any

import pytest

from tests.acceptance.conftest import Make
from tests.acceptance.projects import Project

PASSWORD = "a long password"


@pytest.fixture(scope="module")
def project(make: Make) -> Project:
    project = make(
        "recipe_4_products_and_reviews",
        ACCOUNTS_DB="north",
        PRODUCTS_DB="east",
        REVIEWS_DB="west",
    )
    project.manage("shoal", "migrate")
    project.manage(
        "createsuperuser",
        "--noinput",
        "--username=root",
        "--email=root@example.com",
        "--database=accounts",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )
    return project


def test_the_project_is_sound_and_its_migrations_complete(project: Project) -> None:
    assert "no issues" in project.manage("check").stdout
    assert "No changes" in project.manage("makemigrations", "--check").stdout


def test_each_table_is_where_it_belongs_and_nowhere_else(project: Project) -> None:
    assert project["PRODUCTS_DB"].tables() == {"products_category", "products_product"}
    assert project["REVIEWS_DB"].tables() == {"reviews_review", "reviews_reply"}
    on_accounts = project["ACCOUNTS_DB"].tables()
    assert {"auth_user", "django_admin_log", "django_session"} <= on_accounts
    assert not any(table.startswith(("products_", "revi")) for table in on_accounts)


def add_and_change(site: Any, password: str) -> Any:
    product, review = "/admin/products/product/", "/admin/reviews/review/"
    no_reviews = {"review_set-TOTAL_FORMS": 0, "review_set-INITIAL_FORMS": 0}
    one_reply = {"replies-TOTAL_FORMS": 1, "replies-INITIAL_FORMS": 0}
    assert site.login("root", password)

    root = site.User.objects.get(username="root").pk
    saved = [site.post("/admin/products/category/add/", name="Films")]
    heat = {"name": "Heat", "category": site.Category.objects.get(name="Films").pk}
    saved.append(site.post(product + "add/", **heat, **no_reviews))
    pk = site.Product.objects.get(name="Heat").pk
    heat["name"] = "Heat (1995)"
    saved.append(site.post(f"{product}{pk}/change/", **heat, **no_reviews))

    text = {"product": pk, "author": root, "stars": 4, "text": "Long"}
    reply = one_reply | {"replies-0-text": "Indeed"}
    saved.append(site.post(review + "add/", **text, **reply))
    pk = site.Review.objects.get(text="Long").pk
    text["stars"] = 5
    one_reply["replies-TOTAL_FORMS"] = 0
    saved.append(site.post(f"{review}{pk}/change/", **text, **one_reply))
    return saved


def test_the_admin_adds_and_changes_on_every_server(project: Project) -> None:
    assert project.run(add_and_change, PASSWORD) == [302] * 5
    products, reviews = project["PRODUCTS_DB"], project["REVIEWS_DB"]
    [(heat,)] = products.ask(
        "SELECT id FROM products_product WHERE name = 'Heat (1995)'"
    )
    found = reviews.ask(
        "SELECT product_id, stars, reply.text FROM reviews_review review "
        "JOIN reviews_reply reply ON review_id = review.id WHERE review.text = 'Long'"
    )
    assert found == [(heat, 5, "Indeed")]
    log = (
        "SELECT model, action_flag FROM django_admin_log "
        "JOIN django_content_type type ON type.id = content_type_id "
        "WHERE object_repr IN ('Films', 'Heat', 'Heat (1995)', '4 stars', '5 stars') "
        "AND user_id = (SELECT id FROM auth_user WHERE username = 'root') "
        "ORDER BY django_admin_log.id"
    )
    assert project["ACCOUNTS_DB"].ask(log) == [
        ("category", 1),
        ("product", 1),
        ("product", 2),
        ("review", 1),
        ("review", 2),
    ]


def edit_inline(site: Any) -> Any:
    ada = site.User.objects.create_superuser("ada")
    bob = site.User.objects.create_user("bob")
    category = site.Category.objects.create(name="Inline")
    alien = site.Product.objects.create(name="Alien", category=category)
    kept = site.Review.objects.create(product=alien, author=ada, stars=1)
    site.client.force_login(ada)

    def save(*rows: dict[str, Any], initial: int) -> Any:
        fields = {"review_set-TOTAL_FORMS": len(rows)}
        fields["review_set-INITIAL_FORMS"] = initial
        for number, row in enumerate(rows):
            fields |= {f"review_set-{number}-{k}": v for k, v in row.items()}
        path = f"/admin/products/product/{alien.pk}/change/"
        return site.post(path, name="Alien", category=category.pk, **fields)

    first = {"id": kept.pk, "product": alien.pk, "author": ada.pk, "stars": 2}
    second = {"product": alien.pk, "author": bob.pk, "stars": 3}
    found: dict[str, Any] = {"saved": [save(first, second, initial=1)]}
    stars = site.Review.objects.filter(product=alien).order_by("stars")
    found["stars"] = list(stars.values_list("stars", flat=True))
    page = site.client.get(f"/admin/products/product/{alien.pk}/change/")
    found["form"] = ["Alien" in page.text, "bob" in page.text]
    found["saved"].append(save(first | {"DELETE": "on"}, initial=1))
    found["left"] = list(stars.values_list("author_id", flat=True)) == [bob.pk]
    return found


def test_the_admin_edits_reviews_inline_on_a_products_page(project: Project) -> None:
    found = project.run(edit_inline)
    assert found["saved"] == [302, 302]
    assert found["stars"] == [2, 3]
    assert found["form"] == [True, True]
    assert found["left"]


def choose(site: Any) -> Any:
    ada = site.User.objects.create_superuser("chooser")
    category = site.Category.objects.create(name="Chosen")
    for name in ("Brazil", "Solaris"):
        product = site.Product.objects.create(name=name, category=category)
        review = site.Review.objects.create(product=product, author=ada, stars=2)
    reply = site.Reply.objects.create(review=review, text="?")
    site.client.force_login(ada)

    def get(path: str) -> Any:
        return site.client.get(f"/admin/{path}").text

    all_reviews = get("reviews/review/")
    of_one = get(f"reviews/review/?product__id__exact={product.pk}")
    form = get(f"reviews/review/{review.pk}/change/")
    field = "app_label=reviews&model_name=review&field_name=product"
    wrong = {"product": 987654, "author": ada.pk, "stars": 1}
    wrong |= {"replies-TOTAL_FORMS": 0, "replies-INITIAL_FORMS": 0}
    return {
        "autocomplete": get(f"autocomplete/?{field}&term=sol"),
        "list": [f'change/">{name}<' in all_reviews for name in ("Brazil", "Solaris")],
        "author": ">chooser<" in all_reviews,
        "filtered": [f'%3D{product.pk}">{n}<' in of_one for n in ("Brazil", "Solaris")],
        "form": [word in form for word in ("Solaris", "chooser", "related-lookup")],
        "within": "2 stars" in get(f"reviews/reply/{reply.pk}/change/"),
        "history": "have a change history"
        in get(f"reviews/review/{review.pk}/history/"),
        "wrong": site.error(lambda: site.post("/admin/reviews/review/add/", **wrong)),
    }


def test_the_admins_lists_and_choices_cross_servers(project: Project) -> None:
    found = project.run(choose)
    assert "Select a valid choice" in found.pop("wrong")
    names = [row["text"] for row in json.loads(found.pop("autocomplete"))["results"]]
    assert names == ["Solaris"]
    assert found == {
        "list": [True, True],
        "author": True,
        "filtered": [False, True],
        "form": [True, True, True],
        "within": True,
        "history": True,
    }


def delete(site: Any) -> Any:
    root = site.User.objects.create_superuser("deleter")
    fan = site.User.objects.create_user("fan")
    category = site.Category.objects.create(name="Deleted")
    products = [
        site.Product.objects.create(name=f"Gone {n}", category=category)
        for n in range(3)
    ]
    for product in products:
        review = site.Review.objects.create(product=product, author=fan, text="gone")
        site.Reply.objects.create(review=review, text="gone")
    site.client.force_login(root)
    left = site.Review.objects.filter(text="gone")
    first, second, third = (product.pk for product in products)
    found = []
    path = f"/admin/products/product/{first}/delete/"
    found += [site.client.get(path).status_code, site.post(path, post="yes")]
    found.append(left.count())
    selected = {"action": "delete_selected", "_selected_action": second, "post": "yes"}
    found += [site.post("/admin/products/product/", **selected), left.count()]
    found += [site.post(f"/admin/auth/user/{fan.pk}/delete/", post="yes")]
    found += [left.count(), site.Product.objects.filter(pk=third).count()]
    return [*found, site.client.get("/admin/reviews/review/").status_code]


def test_deleting_in_the_admin_takes_along_what_is_on_other_servers(
    project: Project,
) -> None:
    assert project.run(delete) == [200, 302, 2, 302, 1, 302, 0, 1, 200]
    gone = "SELECT count(*) FROM reviews_reply WHERE text = 'gone'"
    assert project["REVIEWS_DB"].column(gone) == [0]


def join(site: Any) -> Any:
    Review, Product = site.Review, site.Product
    category = site.Category.objects.create(name="Joined")
    product = Product.objects.create(name="Joined", category=category)
    author = site.User.objects.create_user("joiner")
    Review.objects.create(product=product, author=author)
    mine = Review.objects.filter(product=product)
    fetched = mine.prefetch_related("product__category", "author").get()
    joins = [
        mine.select_related("product"),
        Review.objects.filter(product__name="Joined"),
        Review.objects.filter(product__in=Product.objects.filter(name="Joined")),
    ]
    return {
        "prefetched": [fetched.product.category.name, fetched.author.username],
        "reverse": product.review_set.count(),
        "by_ids": Review.objects.filter(
            product__in=list(Product.objects.filter(name="Joined"))
        ).count(),
        "joined": [site.error(lambda joined=joined: list(joined)) for joined in joins],
    }


def test_what_must_not_be_joined_is_an_error_and_never_a_wrong_answer(
    project: Project,
) -> None:
    found = project.run(join)
    assert found["prefetched"] == ["Joined", "joiner"]
    assert (found["reverse"], found["by_ids"]) == (1, 1)
    for error in found["joined"]:
        assert "products_product" in error


def test_the_projects_tests_pass_with_djangos_runner(project: Project) -> None:
    done = project.manage("test")
    assert "Ran 3 tests" in done.stderr
    assert "OK" in done.stderr
