"""What the ledger knows of movies without their pages: merged ones, and the titles that people's lists show."""

from collections.abc import Mapping

from crawler.ledger.pages import PageTable


class MovieTable(PageTable):
    """The movies of a ledger."""

    def add_alias(self, movie_id: str, into_id: str) -> bool:
        """Record that a movie was merged into another one; return False if that would lead in a circle.

        A chain is stored by its end: after 1 → 2 and 2 → 3, both 1 and 2 are aliases of 3.
        """
        into_id = self.aliases().get(into_id, into_id)
        if into_id == movie_id:
            return False
        self.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (movie_id, into_id))
        self.execute("UPDATE aliases SET into_id = ? WHERE into_id = ?", (into_id, movie_id))
        return True

    def aliases(self) -> dict[str, str]:
        """Return, for each merged movie, the movie that it is now."""
        return dict(self.execute("SELECT movie_id, into_id FROM aliases"))

    def add_listed_titles(self, titles: Mapping[str, str]) -> None:
        """Keep the titles, by movie, that a list shows; the first one of a movie stays."""
        self.executemany("INSERT OR IGNORE INTO listed_titles VALUES (?, ?)", titles.items())

    def rating_pairs(self) -> list[tuple[str, str]]:
        """Return user id and movie id of every rating; a merged movie has the id of the one that it is now."""
        return self.execute(
            "SELECT user_id, movie_id FROM ratings"
            if not self.value("SELECT 1 FROM aliases")
            else "SELECT DISTINCT user_id, coalesce(into_id, movie_id) FROM ratings LEFT JOIN aliases USING (movie_id)"
        ).fetchall()

    def subjects_in(self, kind: str, state: str) -> set[str]:
        """Return the subjects of a kind of page that are in a state."""
        return {row[0] for row in self.execute("SELECT subject FROM pages WHERE kind = ? AND state = ?", (kind, state))}
