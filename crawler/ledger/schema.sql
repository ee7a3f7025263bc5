-- The tables of the ledger (schema.py). Times are seconds since 1970; dates are ISO text.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pages (
    page_id     INTEGER PRIMARY KEY,        -- in the order in which pages were found
    kind        TEXT NOT NULL,
    subject     TEXT NOT NULL,              -- a movie's, frame's or person's id
    variant     TEXT NOT NULL,              -- the kind of photo or the size of the picture; in JSON also `tv`, `one`
    start       INTEGER NOT NULL,           -- offset in a list
    state       TEXT NOT NULL DEFAULT 'pending'
                CHECK (state IN ('pending', 'done', 'gone', 'unavailable', 'refused', 'failed')),
    attempts    INTEGER NOT NULL DEFAULT 0, -- failed attempts since the stage was last started
    next_try_at REAL NOT NULL DEFAULT 0,    -- seconds since 1970, like every time
    cause       TEXT,                       -- why the page is not done
    fetched_at  REAL,                       -- time of the last answer or failed attempt
    claimed     INTEGER,                    -- how many items the page says the whole list has
    seen        INTEGER,                    -- how many items this page showed
    left_out    INTEGER NOT NULL DEFAULT 0, -- items counted but not stored (anonymous likers, …)
    last_item   TEXT,                       -- of a list without a total, to detect a change
    -- of a list, stored on its first page (start 0):
    begun_at    REAL,                       -- when the current or last pass began, before its restarts
    restarts    INTEGER NOT NULL DEFAULT 0, -- how often it changed during the current pass
    is_unsteady INTEGER NOT NULL DEFAULT 0, -- it changed too often to be read in one pass
    unseen      INTEGER,                    -- claimed minus found, when it was last read to its end
    -- columns of version 3, of any page:
    left_out_reasons TEXT,                  -- the items left out, counted by reason, as JSON
    found_through TEXT,                     -- the kind of page that led here, or 'given'; null if not known
    early_end   TEXT,                       -- what was claimed and shown, if the list ends here before its total
    early_since REAL,                       -- since when every answer was the same
    early_n     INTEGER NOT NULL DEFAULT 0, -- how many answers in a row were the same
    -- of a list, stored on its first page:
    is_complete INTEGER,                    -- whether it was last read to its end; null if version 2 read it
    outcome     TEXT,                       -- where its last reading ended, what was claimed, how much was shown
    outcome_since REAL,                     -- since when every reading came out the same
    -- of any page:
    refusals    INTEGER NOT NULL DEFAULT 0, -- in how many runs this page was the refused one, since it was last read
    refused_alone INTEGER NOT NULL DEFAULT 0, -- in how many of these runs the host answered other pages
    fills       TEXT,                       -- how many of its rows have a value, by field, as JSON (version 4)
    UNIQUE (kind, subject, variant, start)
);
CREATE INDEX pages_by_state ON pages (state, page_id);
CREATE TABLE opt_outs (                     -- what answers ask of crawlers (crawler/opt_outs.py)
    page_id INTEGER REFERENCES pages ON DELETE CASCADE, directive TEXT, PRIMARY KEY (page_id, directive)
) WITHOUT ROWID;
CREATE TABLE people (uid TEXT PRIMARY KEY, user_id TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX people_by_user ON people (user_id);
CREATE TABLE movies (
    movie_id TEXT PRIMARY KEY, title TEXT NOT NULL, original_title TEXT, year INTEGER, kind TEXT,
    genres TEXT NOT NULL, directors TEXT NOT NULL, rating_mean REAL, rating_count INTEGER,
    photo_total INTEGER, seen_total INTEGER, crawled_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE movie_claims (                 -- what each source says of a movie
    movie_id TEXT, source TEXT CHECK (source IN ('html', 'json')), year INTEGER, kind TEXT, rating_count INTEGER,
    seen_at REAL NOT NULL,
    PRIMARY KEY (movie_id, source)
) WITHOUT ROWID;
CREATE TABLE contradictions (               -- where both sources say it, and differ
    movie_id TEXT, field TEXT, html TEXT NOT NULL, json TEXT NOT NULL, seen_at REAL NOT NULL,
    PRIMARY KEY (movie_id, field)
) WITHOUT ROWID;
-- Merged movies, and the titles that people's lists show.
CREATE TABLE aliases (movie_id TEXT PRIMARY KEY, into_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE listed_titles (movie_id TEXT PRIMARY KEY, title TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE ratings (
    user_id TEXT, movie_id TEXT, stars INTEGER, rated_on TEXT, seen_at REAL NOT NULL,
    not_shown_since REAL,                   -- when a reading of its list first did not show it any more
    PRIMARY KEY (user_id, movie_id)
) WITHOUT ROWID;
CREATE TABLE frames (
    frame_id TEXT PRIMARY KEY, movie_id TEXT NOT NULL, kind TEXT NOT NULL, width_px INTEGER,
    height_px INTEGER, image_url TEXT NOT NULL, seen_at REAL NOT NULL,
    position INTEGER,                       -- its place in the site's list of this kind, from 0
    like_count INTEGER                      -- what the list says, null if it does not say
) WITHOUT ROWID;
CREATE INDEX frames_by_movie ON frames (movie_id, kind);
CREATE TABLE pictures (
    frame_id TEXT PRIMARY KEY REFERENCES frames, sha256 TEXT NOT NULL, format TEXT NOT NULL,
    width_px INTEGER NOT NULL, height_px INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    path TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE likes (
    user_id TEXT, frame_id TEXT, source TEXT, liked_on TEXT, seen_at REAL NOT NULL,
    not_shown_since REAL,
    PRIMARY KEY (user_id, frame_id, source)
) WITHOUT ROWID;
CREATE INDEX likes_by_frame ON likes (frame_id, source);
