"""A movie's comments, where users are discovered: `/subject/<id>/comments` (grades C and H)."""

from crawler.pages.reading import DELETED_NAME, Document
from crawler.pages.rows import CommentsPage, Person
from crawler.pages.tree import select, text_of


def parse_comments(html: str, url: str) -> CommentsPage:
    """Return the people who wrote a page of comments, in order, deleted accounts left out.

    Always there: an author's profile link in each comment. May be absent: all comments (then the
    list's frame `#comments` must stand), avatars, the next page's link.

    Raises:
        NotUnderstood: there is no such list, or a comment without an author.
    """
    page = Document.read("comments", html, url)
    page.id_in_url("movie_id", r"/subject/([0-9]+)/comments")
    comments = page.css(".comment-item")
    frame = page.css("#comments")
    if not comments and (not frame or select(frame, 'a[href*="/people/"]')):
        raise page.not_understood("comments")
    people: list[Person] = []
    for comment in comments:
        links = select(comment, ".avatar a, .comment-info a")
        person = page.person(links, select(comment, ".avatar img"))
        if person is None:
            raise page.not_understood("person", "has no profile link in a comment")
        if DELETED_NAME not in {*(link.get("title") for link in links), *map(text_of, links)}:
            people.append(person)
    return CommentsPage(tuple(people), page.next_url(page.css("#paginator a.next::attr(href)")))
