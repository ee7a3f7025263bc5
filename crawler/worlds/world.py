"""A world: everything that is drawn from a preset and a seed, as arrays."""

from dataclasses import dataclass

from crawler.worlds.catalogue import Catalogue, FramesOfMovies, draw_catalogue, draw_frames
from crawler.worlds.draws import Ints, streams
from crawler.worlds.people import People, draw_people
from crawler.worlds.presets import Preset
from crawler.worlds.traces import Likes, draw_days, draw_likes, draw_stars
from crawler.worlds.watching import Watched, draw_watched


@dataclass(frozen=True)
class DrawnWorld:
    """A world; `stars` and `days` are in the order of `watched`."""

    preset: Preset
    seed: int
    catalogue: Catalogue
    frames: FramesOfMovies
    people: People
    watched: Watched
    stars: Ints
    days: Ints
    likes: Likes


def draw_world(preset: Preset, seed: int) -> DrawnWorld:
    """Draw the world of a preset and a seed; it is the same on every machine."""
    for_movies, for_frames, for_people, for_watching, for_stars, for_days, for_likes = streams(seed, 7)
    catalogue = draw_catalogue(preset, for_movies)
    frames = draw_frames(preset, for_frames)
    people = draw_people(preset, catalogue, for_people)
    watched = draw_watched(preset, catalogue, frames, people, for_watching)
    return DrawnWorld(
        preset=preset,
        seed=seed,
        catalogue=catalogue,
        frames=frames,
        people=people,
        watched=watched,
        stars=draw_stars(watched, preset.n_movies, for_stars),
        days=draw_days(watched, people, for_days),
        likes=draw_likes(preset, frames, people, watched, for_likes),
    )
