"""The words of a drawn world: ids, titles, genres and names of directors, as its pages and its tables have them."""

from crawler.worlds.catalogue import Catalogue, FramesOfMovies
from crawler.worlds.names import CLIQUE_GENRES, any_director, any_title


def user_ids(n: int) -> list[str]:
    """Return the ids of `n` people."""
    return [str(1_204_000 + 4_001 * index) for index in range(n)]


def movie_ids(n: int) -> list[str]:
    """Return the ids of `n` movies."""
    return [str(1_290_000 + 211 * index) for index in range(n)]


def frame_ids(frames: FramesOfMovies) -> list[str]:
    """Return the ids of the frames; within a movie they increase, so that the last frame is the newest."""
    return [str(2_000_000_000 + 1_013 * index) for index in range(len(frames.movies))]


def titles(catalogue: Catalogue) -> list[tuple[str, str]]:
    """Return the Chinese and the English title of each movie; those of a series are numbered from the second on."""
    n_series = int(catalogue.series.max(initial=-1)) + 1
    words = []
    for index, (series, part) in enumerate(zip(catalogue.series.tolist(), catalogue.parts.tolist(), strict=True)):
        chinese, english = any_title(series if series >= 0 else n_series + index)
        words.append((f"{chinese}{part}", f"{english} {part}") if part > 1 else (chinese, english))
    return words


def genres(catalogue: Catalogue) -> list[tuple[str, ...]]:
    """Return the genres of each movie."""
    return [
        tuple(dict.fromkeys((*CLIQUE_GENRES[main], CLIQUE_GENRES[second][0])))
        for main, second in catalogue.genres.tolist()
    ]


def directors(catalogue: Catalogue) -> list[str]:
    """Return the director of each movie."""
    return [any_director(number) for number in catalogue.directors.tolist()]
