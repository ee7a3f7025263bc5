"""The presets of the worlds: their sizes, and why people watch what they watch. They are frozen by version."""

from dataclasses import asdict, dataclass, replace
from typing import Literal

GENERATOR_VERSION = 1
"""Rises with every change of the code that changes a table of a preset."""

PresetName = Literal["paper", "demo", "no_looks", "exchanged_frames", "random_likes", "best_frame", "disliked_looks"]
Looks = Literal["shown", "best_frame", "disliked", "none"]
Frames = Literal["own", "exchanged"]
Likes = Literal["by_looks", "random"]


@dataclass(frozen=True)
class Reasons:
    """Why a movie is watched: of 1,000 choices, how many each reason decides.

    Attributes:
        popular: many people watch it.
        taste: it is of a country and a genre that the person likes.
        series: it is of the series of a movie that the person has watched.
        director: it is by the director of such a movie.
        era: it is of the country and the years of such a movie.
        lists: it stands in a list of recommendations in which the person found such a movie.
        friends: a friend has watched it.
        looks: one of its frames shows a look that the person loves.
    """

    popular: int = 0
    taste: int = 0
    series: int = 0
    director: int = 0
    era: int = 0
    lists: int = 0
    friends: int = 0
    looks: int = 0

    def __post_init__(self) -> None:
        if (total := sum(asdict(self).values())) != 1000:
            raise ValueError(f"the reasons add up to {total}, not to 1,000")


@dataclass(frozen=True)
class Preset:
    """What a world is like.

    Attributes:
        name: its name.
        version: rises with every change of the preset.
        n_users: the people.
        n_movies: the movies.
        mean_watched: the movies that a person watches, on average; the counts are heavy-tailed.
        n_countries: the countries that movies come from, at most 12; with the genres they make the niches of tastes.
        mean_frames: the frames of a movie, on average.
        likes_per_pair: likes of frames per watched movie.
        reasons: why people watch what they watch.
        looks: `shown`: people choose movies with frames of a look that they love; `best_frame`: a single frame of such
            a movie shows the look; `disliked`: people avoid movies with a look that they dislike; `none`: looks play no
            part in choices.
        frames: `own`; `exchanged`: each movie has the frames of another one.
        likes: `by_looks`: people like frames with a look that they love; `random`: any frame.
        pictures_per_scene: the pictures of the bank that show a scene.
    """

    name: str
    version: int
    n_users: int
    n_movies: int
    mean_watched: int
    reasons: Reasons
    n_countries: int = 12
    mean_frames: int = 20
    likes_per_pair: float = 0.048
    looks: Looks = "shown"
    frames: Frames = "own"
    likes: Likes = "by_looks"
    pictures_per_scene: int = 288


_PAPER = Preset(
    "paper",
    version=1,
    n_users=2_500,
    n_movies=1_980,
    mean_watched=33,
    reasons=Reasons(popular=60, taste=500, series=40, director=60, era=20, lists=40, friends=40, looks=240),
)
_DEMO = Preset(
    "demo",
    version=1,
    n_users=600,
    n_movies=300,
    mean_watched=11,
    n_countries=4,
    mean_frames=3,
    reasons=Reasons(taste=720, series=30, director=30, lists=10, friends=10, looks=200),
    likes_per_pair=0.3,
)

PRESETS = {
    preset.name: preset
    for preset in (
        _PAPER,
        _DEMO,
        replace(_PAPER, name="no_looks", looks="none"),
        replace(_PAPER, name="exchanged_frames", frames="exchanged"),
        replace(_PAPER, name="random_likes", likes="random"),
        replace(_PAPER, name="best_frame", looks="best_frame"),
        replace(_PAPER, name="disliked_looks", looks="disliked"),
    )
}
"""All presets by name. `paper` and `demo` are calibrated; in the others looks act in no way, or in another way."""
