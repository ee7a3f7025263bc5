"""When deployments run: the next start of a schedule, and the schedules of a deployment in words."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import SCHEDULE_TYPES
from prefect.server.schemas.schedules import SCHEDULE_TYPES as WITH_DATES
from prefect.utilities.asyncutils import run_coro_as_sync
from pydantic import TypeAdapter, ValidationError

from dataset.errors import UsageError
from flows.parameters.form import in_words as problems


def next_start(schedule: SCHEDULE_TYPES) -> datetime | None:
    """Return when a schedule fires next, by its own clock; None: never."""
    on_server: Any = TypeAdapter(WITH_DATES).validate_python(schedule.model_dump())
    try:
        dates: Any = run_coro_as_sync(on_server.get_dates(n=1))
    except ValueError:  # the 30th of February
        return None
    return dates[0].astimezone(ZoneInfo(on_server.timezone or "UTC")) if dates else None


def in_words(deployment: DeploymentResponse, label: str, check: Callable[..., Any]) -> Iterator[str]:
    """Yield one line for each schedule of a deployment: what it is, whether it is on, and when it runs next.

    Args:
        deployment: the deployment.
        label: its name.
        check: raises an error for wrong parameters; a run with them would fail.
    """
    for one in deployment.schedules:
        schedule: Any = one.schedule
        told = getattr(schedule, "cron", None) or getattr(schedule, "rrule", None) or f"every {schedule.interval}"
        start = next_start(schedule)
        if not one.active:
            state = f"off; to switch it on: prefect deployment schedule resume {label} {one.id}"
        elif deployment.paused:
            state = "paused with the whole deployment, on Prefect's page"
        else:
            state = f"next run on {start:%A, %Y-%m-%d %H:%M}" if start else "never again"
            state += _problem(check, deployment.parameters | one.parameters)
        yield f"{label}: {told} ({schedule.timezone or 'UTC'}), {state}"


def _problem(check: Callable[..., Any], parameters: dict[str, Any]) -> str:
    try:
        check(**parameters)
    except ValidationError as error:
        return f"; its runs will fail ({problems(error)})"
    except UsageError as error:
        return f"; its runs will fail ({error})"
    return ""
