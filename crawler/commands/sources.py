"""The option --via: which source each topic is read from, and what the probe says about it."""

from collections.abc import Sequence
from pathlib import Path

from crawler.scope import CHOICES, LIST, PREFERRED, SOURCES, TOPICS, Source, Via
from dataset.errors import UsageError

AUTO = "auto"


def sources_of(given: Sequence[str], preferred: Via, has_json: bool) -> Via:
    """Return the sources of each topic, in order of preference.

    Args:
        given: `topic=source` pairs, or a source alone for all topics; the source can be `auto`, and for
            collections `list`.
        preferred: what `auto` means for each topic.
        has_json: whether the site has a host with JSON.

    Raises:
        UsageError: a topic or source is unknown or given twice, or JSON is asked for from a site without it.
    """
    chosen: dict[str, str] = {}
    for pair in given:
        topic, equals, source = pair.rpartition("=")
        topics = (topic,) if equals else TOPICS
        is_known = all(source in (*CHOICES.get(one, ()), AUTO) for one in topics)
        if not is_known or not set(topics) <= set(TOPICS) or set(topics) & set(chosen):
            raise UsageError(
                f"--via {pair!r}: give pairs of a topic ({', '.join(TOPICS)}) and a source ({', '.join(SOURCES)} or "
                f"{AUTO}; collection also {LIST}), such as movie=json,photos=json,collection=list; each topic once"
            )
        chosen |= dict.fromkeys(topics, source)
    via = {topic: _sources(chosen.get(topic, AUTO), preferred[topic], has_json) for topic in TOPICS}
    if without := [topic for topic, sources in via.items() if not sources]:
        raise UsageError(
            f"--via {without[0]}=json: this site has no host with JSON; give its address as the fourth of --site-urls, "
            f"or choose {without[0]}=html"
        )
    return via


def _sources(chosen: str, preferred: Sequence[str], has_json: bool) -> tuple[str, ...]:
    wanted = tuple(preferred) if chosen == AUTO else (chosen,)
    return tuple(source for source in wanted if has_json or source != "json")


def preferred_sources(crawl_dir: Path, source: Source) -> Via:
    """Return what `auto` means for a crawl: what the probe beside it recommends, if it probed this site.

    Raises:
        PipelineError: there is a probe.json that cannot be read.
    """
    from crawler.probe.document import read_probe  # here, because it loads the parsers of all pages

    probed = read_probe(crawl_dir, source)
    return PREFERRED if probed is None else probed.via
