"""The operator's settings of a data set: a TOML file with parameters of `build-dataset` and its schedule."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from prefect.client.schemas.schedules import CronSchedule
from pydantic import ValidationError
from pydantic.dataclasses import dataclass

from dataset.errors import MissingExtraError, MissingInputError, UsageError, WeightsError
from flows.parameters.config import STRICT, BuildConfig
from flows.parameters.form import in_words
from flows.serving.schedules import next_start

_SECRET = re.compile(r"pass(word|wd|phrase)|secret|token|credential|auth|(api|access|private)[_-]?key", re.IGNORECASE)
_Config = TypeVar("_Config")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Settings(BuildConfig):
    """The parameters of `build-dataset`, and when it runs.

    Attributes:
        schedule: when to crawl again, as in a crontab: minute, hour, day of the month, month, day of the week.
        timezone: where the schedule's clock stands, such as Europe/Berlin.

    Raises:
        UsageError: the schedule never fires, or ids of people would be kept in Prefect's database.
    """

    schedule: str | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Check the schedule, and that no person is named."""
        super().__post_init__()
        if self.users:
            raise UsageError(
                "users: Prefect's database would keep the ids of people; write them into a text file, one per line, "
                "and give its path as users_file"
            )
        _ = self.cron

    @property
    def cron(self) -> CronSchedule | None:
        """The schedule as Prefect has it."""
        if self.schedule is None:
            return None
        try:
            cron = CronSchedule(cron=self.schedule, timezone=self.timezone)
        except ValidationError as error:
            wrong = "timezone" if error.errors()[0]["loc"] == ("timezone",) else "schedule"
            hint = {"timezone": "such as Europe/Berlin", "schedule": 'such as "0 3 * * 1", each Monday at 3:00'}[wrong]
            raise UsageError(f"{wrong}: {getattr(self, wrong)!r} is none; give one {hint}") from None
        if next_start(cron) is None:
            raise UsageError(f"schedule: {self.schedule!r} never comes")
        return cron


def read_settings(file: Path) -> Settings:
    """Read a settings file; the data set is named like the file unless it says otherwise.

    Raises:
        MissingInputError: the file, or one that it names, cannot be read.
        UsageError: a setting is unknown or wrong; the message names file and setting.
    """
    settings = read_toml(Settings, file, name=file.stem)
    try:
        settings.require_files()
    except MissingExtraError:  # the machines that run it may have the library
        pass
    except (UsageError, WeightsError) as error:
        raise UsageError(f"{file}: {error}") from None
    return settings


def read_toml(config: type[_Config], path: Path, **defaults: Any) -> _Config:
    """Read a config from a TOML file with one `name = value` per line; `defaults` are values that it may leave out.

    Raises:
        MissingInputError: the file cannot be read.
        UsageError: it is not TOML, has what looks like a secret, or a parameter is unknown, missing or out of bounds.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        for name in filter(_SECRET.search, _names(values)):
            raise UsageError(f"{name}: secrets do not belong in this file; put them into the environment")
        return config(**defaults | values)
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        raise UsageError(f"{path}: {in_words(error)}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not a TOML file ({error})") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _names(values: dict[str, Any], parent: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield parent + name
        if isinstance(value, dict):
            yield from _names(value, f"{parent}{name}.")
