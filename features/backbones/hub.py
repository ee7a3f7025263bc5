"""Finds the file of a model on the Hugging Face Hub: in its cache, or else downloaded once."""

from contextlib import suppress
from pathlib import Path, PurePosixPath

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError

from dataset.errors import WeightsError

_CONNECT_TIMEOUT_S = 10
_SAFE_NAMES = {"pytorch_model": "model", "open_clip_pytorch_model": "open_clip_model"}
"""Files of weights whose safetensors form has another name."""
_MAX_REASON_CHARACTERS = 120


class HubFile:
    """A file of weights in a repository of the Hub; the same weights as safetensors come first.

    Args:
        repository: owner/name[@revision].
        name: the file's name there.
    """

    def __init__(self, repository: str, name: str) -> None:
        self.repository, _, self._revision = repository.partition("@")
        stem = PurePosixPath(name).stem
        self._names = list(dict.fromkeys((f"{_SAFE_NAMES.get(stem, stem)}.safetensors", name)))

    def cached(self) -> Path | None:
        """Return the file in the cache; None: it is not there."""
        for name in self._names:
            path = try_to_load_from_cache(self.repository, name, revision=self._revision or None)
            if isinstance(path, str):
                return Path(path)
        return None

    def fetch(self, weights: str) -> Path:
        """Return the file; download it if it is not in the cache.

        Args:
            weights: the weights in words, for the error.

        Raises:
            WeightsError: it is not in the cache, and cannot be downloaded.
        """
        if (path := self.cached()) is not None:
            return path
        reason: Path | str | Exception
        try:
            reason = self._download()
        except Exception as error:  # the Hub's client raises many kinds of errors
            reason = error
        if isinstance(reason, Path):
            return reason
        words = " ".join(str(reason).split())[:_MAX_REASON_CHARACTERS] or type(reason).__name__
        raise WeightsError(
            f"{weights} are not in the cache {constants.HF_HUB_CACHE}, and cannot be downloaded from the Hugging Face "
            f"Hub ({words}); run hf download {self.repository} {self._names[0]} where there is internet, and pass "
            "that file with --weights <file>, or try the pipeline with --weights random:0"
        )

    def _download(self) -> Path | str:
        """Download the file; return why not if that needs no request."""
        if constants.HF_HUB_OFFLINE:
            return "HF_HUB_OFFLINE is set"
        revision = self._revision or None
        for name in self._names:
            with suppress(RemoteEntryNotFoundError):
                # Without a connection, this fails at once; a download would be tried again for half a minute.
                get_hf_file_metadata(hf_hub_url(self.repository, name, revision=revision), timeout=_CONNECT_TIMEOUT_S)
                return Path(hf_hub_download(self.repository, name, revision=revision))
        return f"it has no {' and no '.join(self._names)}"
