"""The sandbox: a local stand-in for the site, four loopback hosts that serve an invented world, generated from a seed.

`world` invents people, movies, ratings and likes (from `tastes` and `names`), `pictures` draws the frames,
`pages` writes the site's markup, and `server` serves it. `truth` returns the tables that a perfect crawl yields.
"""
