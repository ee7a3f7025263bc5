"""The table `people`: which uids belong to the same person."""

from collections.abc import Collection

from crawler.ledger.database import marks
from crawler.ledger.pages import PageTable
from crawler.page import Person


class PeopleTable(PageTable):
    """The people of a ledger, each with one user id and at least one uid."""

    def user_id(self, person: Person) -> str:
        """Return the one id of a person who may be seen under a slug, a number, or both.

        The number becomes the id as soon as it is known; rows stored under the slug move to it.
        """
        known: str | None = self.user_id_of(person.uid)
        if known == person.user_id or (known is not None and person.user_id == person.uid):
            return known
        self.executemany(
            "INSERT INTO people VALUES (?, ?) ON CONFLICT DO UPDATE SET user_id = excluded.user_id",
            {(person.uid, person.user_id), (person.user_id, person.user_id)},
        )
        if known is not None and known == person.uid:
            self._merge(slug=known, number=person.user_id)
        return person.user_id

    def user_id_of(self, uid: str) -> str | None:
        """Return the user id of a uid; None if the uid is unknown."""
        found: str | None = self.value("SELECT user_id FROM people WHERE uid = ?", (uid,))
        return found

    def uids_of(self, user_id: str | None) -> set[str]:
        """Return all uids under which a person is known."""
        return {row[0] for row in self.execute("SELECT uid FROM people WHERE user_id = ?", (user_id,))}

    def uids_with(self, part: str) -> set[str]:
        """Return all uids that contain a text."""
        return {row[0] for row in self.execute("SELECT uid FROM people WHERE instr(uid, ?)", (part,))}

    def is_subject(self, uid: str) -> bool:
        """Return whether a page about a uid is known."""
        kinds = tuple(self.personal_kinds)
        return bool(self.value(f"SELECT 1 FROM pages WHERE kind IN ({marks(kinds)}) AND subject = ?", (*kinds, uid)))

    def mentions_of(self, ids: Collection[str]) -> list[str]:
        """Return where ids of people stand, as messages name it."""
        columns = {"people": ("uid", "user_id"), "ratings": ("user_id",), "likes": ("user_id",)}
        conditions = {f"{table}.{column}": "1" for table, names in columns.items() for column in names}
        conditions |= {
            "pages.subject": f"kind IN ({', '.join(map(repr, sorted(self.personal_kinds)))})",
            "pages.last_item": "kind = 'comments'",
        }
        return [
            f"ledger.sqlite ({place})"
            for place, condition in conditions.items()
            if self.value(
                f"SELECT 1 FROM {place.partition('.')[0]} WHERE {condition} AND {place} IN ({marks(tuple(ids))})",
                tuple(ids),
            )
        ]

    def is_planned(self, user_id: str, kind: str) -> bool:
        """Return whether a page of a kind is planned for a person, under any of their uids."""
        return bool(
            self.value(
                # CROSS makes SQLite start with the person's few uids, not with all pages of the kind
                "SELECT 1 FROM people CROSS JOIN pages ON pages.kind = ? AND pages.subject = people.uid "
                "WHERE people.user_id = ?",
                (kind, user_id),
            )
        )

    def planned_uids(self, *kinds: str) -> dict[str, str]:
        """Return, by user id, the uid under which each person's list of one of the kinds was first planned."""
        return dict(
            self.execute(
                "SELECT people.user_id, pages.subject FROM pages JOIN people ON people.uid = pages.subject "
                f"WHERE pages.kind IN ({marks(kinds)}) AND pages.start = 0 ORDER BY pages.page_id DESC",
                kinds,
            )
        )

    def _merge(self, slug: str, number: str) -> None:
        for table in ("ratings", "likes"):
            self.execute(f"UPDATE OR IGNORE {table} SET user_id = ? WHERE user_id = ?", (number, slug))
            self.execute(f"DELETE FROM {table} WHERE user_id = ?", (slug,))
        self.execute("UPDATE people SET user_id = ? WHERE user_id = ?", (number, slug))
        personal = tuple(self.personal_kinds)
        self.execute(
            "UPDATE pages SET state = 'gone', cause = 'the same person is read under another uid' "
            # + and CROSS keep SQLite from scanning all pending pages
            f"WHERE +state = 'pending' AND kind IN ({marks(personal)}) AND subject = ? AND EXISTS ("
            "  SELECT 1 FROM people CROSS JOIN pages AS other ON other.subject = people.uid "
            "  WHERE people.user_id = ? AND other.kind = pages.kind AND other.subject <> pages.subject)",
            (*personal, slug, number),
        )
