"""What a dataset's items are called: by the column of their ids, or by the file that describes them."""

import pytest

from dataset.wording import Wording, is_of_the_papers_kind, wording_of

COLUMNS = {
    "movieId": ("movie", "movies"),
    "movie_id": ("movie", "movies"),
    "MovieID": ("movie", "movies"),
    "movies": ("movie", "movies"),
    "productId": ("product", "products"),
    "PRODUCT_ID:token": ("product", "products"),
    "Products": ("product", "products"),
    "item": ("item", "items"),
    "item_id:token": ("item", "items"),
    "business_id": ("business", "businesses"),
    "track name": ("track", "tracks"),
    "artist-mbid": ("artist", "artists"),
    "book-title": ("book", "books"),
    "gameid": ("game", "games"),
    "stories": ("story", "stories"),
    "series_id": ("series", "series"),
    "box_id": ("box", "boxes"),
    "ISBN": ("item", "items"),
    "asin": ("item", "items"),
    "parent_asin": ("item", "items"),
    "iid": ("item", "items"),
    "2": ("item", "items"),
    "userId": ("item", "items"),
    "电影": ("item", "items"),
    "": ("item", "items"),
    "a_column_whose_name_is_averyveryverylongword": ("item", "items"),
}


@pytest.mark.parametrize(("column", "words"), COLUMNS.items())
def test_items_are_called_after_the_column_of_their_ids(column: str, words: tuple[str, str]) -> None:
    wording = wording_of({"source": "import", "options": {"item_column": column}})
    assert (wording.item, wording.items) == words


@pytest.mark.parametrize(
    ("file", "item"),
    [("movies.dat", "movie"), ("Books.csv", "book"), ("u.item", "item"), ("meta.csv", "item"), (None, "item")],
)
def test_numbered_columns_leave_it_to_the_file_of_the_items(file: str | None, item: str) -> None:
    options = {"item_column": "2"}
    assert wording_of({"source": "import", "options": options, "items_file": file}).item == item


def test_a_crawl_has_movies_that_people_watch_and_an_import_may_have_neither() -> None:
    assert wording_of({"source": "crawl"}) == Wording() == wording_of({})
    assert wording_of({"source": "import"}).fill("{a_item} they {did}") == "an item they interacted with"
    assert wording_of({"source": "import", "options": {"item_column": "filmId"}}).did == "watched"
    assert is_of_the_papers_kind({"source": "crawl"})
    assert not is_of_the_papers_kind({"source": "import"})


@pytest.mark.parametrize("provenance", [{"options": None}, {"options": "x"}, {"items_file": 7}, {"options": {}}])
def test_an_odd_provenance_gives_items(provenance: dict[str, object]) -> None:
    assert wording_of({"source": "import", **provenance}).items == "items"
