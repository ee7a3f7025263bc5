"""A local stand-in for the site: three loopback hosts over an invented, seeded world whose truth is known.

`world` invents people, movies, ratings and likes (from `tastes` and `names`); `pictures` draws the
frames; `pages` writes the site's markup; `server` serves it; `truth` hands out what a perfect crawl finds.
"""
