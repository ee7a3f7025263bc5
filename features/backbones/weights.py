"""Where a network's weights come from: the library, a seed, or a file."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dataset.errors import UsageError, WeightsError, describe_load_error
from dataset.extras import require_library
from features.config import AUTO


class Weights:
    """The source of a network's weights.

    Args:
        source: the name of weights of the library, `auto` (the first of these), `random:<seed>`, or a file.
        names: the names of the library's weights for this network.
        network: the network in words, for messages, as "torchvision's vgg19".

    Attributes:
        name: the name of the library's weights, None if they come from elsewhere.
        seed: the seed of random weights, None if they are not random.

    Raises:
        UsageError: the seed is invalid.
        WeightsError: `source` is none of these, or `auto` although the library has no weights for the network.
    """

    def __init__(self, source: str, names: Sequence[str], network: str) -> None:
        self.source, self._network = source, network
        self.name = names[0] if source == AUTO and names else source if source in names else None
        self.is_random = source.startswith("random:")
        self.seed: int | None = None
        if self.is_random:
            self.seed = _seed(source)
        elif self.name is None and source == AUTO:
            raise WeightsError(
                f"there are no weights for {network} to download; pass their file with --weights <file>, "
                "or try the pipeline with --weights random:0"
            )
        elif self.name is None and not Path(source).is_file():
            raise WeightsError(
                f"weights {source!r} is not a file; use {', '.join([*names, 'random:<seed>'])}, "
                f"or the file of a state dict of {network}"
            )

    @property
    def label(self) -> str:
        """A name for the weights, without a local path."""
        return self.name or (self.source if self.is_random else Path(self.source).name)

    @property
    def file(self) -> Path | None:
        """The file that the user gave, None if the weights come from elsewhere."""
        return None if self.is_random or self.name is not None else Path(self.source)

    def refuse(self, file: Path, error: Exception) -> WeightsError:
        """Return the error for a file that does not fit the network."""
        return WeightsError(
            f"{file}: not a state dict of {self._network} ({describe_load_error(error)}); "
            "save one with torch.save(network.state_dict(), file)"
        )


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """Return the tensors in a file that `torch.save` or safetensors has written.

    Raises:
        MissingExtraError: the file is one of safetensors, which is not installed.
    """
    if file.suffix == ".safetensors":
        require_library("safetensors", f"{file.name}: a file of safetensors")
        from safetensors.torch import load_file

        tensors: dict[str, Tensor] = load_file(file)
        return tensors
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _seed(source: str) -> int:
    digits = source.removeprefix("random:")
    if not (digits.isdecimal() and int(digits) < 2**63):
        raise UsageError(f"weights {source!r}: the seed must be a whole number below 2**63, as in random:0")
    return int(digits)
