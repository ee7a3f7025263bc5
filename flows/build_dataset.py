"""The flow `build-dataset`: crawl, export, build, extract features, publish.

A second run continues where the first one stopped and skips the stages whose inputs have not changed. It
publishes nothing when nothing has changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import flow
from prefect.context import FlowRunContext

from crawler.plan import STAGES
from dataset.snapshots.snapshot import Snapshot
from flows.limits import only_crawl_of
from flows.parameters.config import BuildConfig
from flows.parameters.form import parameters_of
from flows.sandbox import sandbox_site, use_known_key
from flows.tasks import build_tables, crawl, export_raw, extract, publish_dataset


@flow(name="build-dataset", validate_parameters=True)
@parameters_of(BuildConfig)
def build_dataset(config: BuildConfig) -> Snapshot:
    """Build a dataset and publish it as a snapshot, unless it equals the newest one.

    Returns:
        The new snapshot, or the newest one when nothing has changed.

    Raises:
        UsageError: `douban` without a contact or without ids to start from.
        HeldError: the new version loses too much of the one before; Prefect's page shows what.
        PipelineError: a stage failed; run the flow again to continue where it stopped.
    """
    if config.source != "import":
        with _site(config):
            for stage in STAGES:
                crawl(stage, config.home, config.crawl_options, refresh=config.refresh or _is_scheduled())
        export_raw(config.home)
    numbers = build_tables(config.home, config.dataset_config)
    if numbers["n_frames"] > numbers["n_frames_without_picture"]:
        store, runner = config.data / "features", config.runner
        extract(config.home, config.extractor_config, store, runner, config.feature_set, config.exchange)
    return publish_dataset(config.home / "dataset", config.name, config.snapshots, config.publication, config.gate)


def _is_scheduled() -> bool:
    """Return whether a schedule has started this run: it reads again what may have changed."""
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.auto_scheduled)


@contextmanager
def _site(config: BuildConfig) -> Iterator[None]:
    """Let no other run crawl the site inside this context. If the site is the sandbox, serve it."""
    with only_crawl_of(config.source):
        if config.source != "sandbox":
            yield
            return
        use_known_key(config.home / "crawl")
        with sandbox_site(config.site_file, config.world, config.sandbox_port):
            yield
