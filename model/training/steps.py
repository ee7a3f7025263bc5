"""The steps of one epoch: one after another on a CPU; on a GPU, recorded once as a CUDA graph and then replayed.

On a GPU, a step of a small model is a hundred tiny kernels, and starting them takes longer than running
them. A CUDA graph starts them all at once. It needs static shapes (`model.models.static_shapes`), and
batches that are found on the GPU itself: a counter there says which batch is next.
"""

import torch
from torch import Tensor, nn

from model.models.recommender import TrainableRecommender
from model.models.static_shapes import static_shapes
from model.models.visual.projection import ScaledFeatures

_WARM_UP = 3  # steps before a graph is recorded, so that libraries are set up
_SPARE = 1.02  # reserved sizes are larger than needed by this factor, so that later epochs rarely need more
_ROUND = 1024


class Steps:
    """Updates a model batch by batch.

    Args:
        learner: the model.
        optimizer: of the model's parameters.
        batch_size: positives per batch.

    Attributes:
        n_steps: the steps of the running or last epoch.
        n_done: how many of them are done; another thread may read it.
    """

    def __init__(self, learner: TrainableRecommender, optimizer: torch.optim.Optimizer, batch_size: int) -> None:
        self._learner, self._optimizer, self._batch_size = learner, optimizer, batch_size
        self.n_steps = self.n_done = 0

    def run(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Update the model with each batch in order; return the sum of the samples' losses, a float64 scalar.

        Args:
            users: (n,) integers.
            positives: (n,) integers.
            negatives: (n, n_negatives) integers.
        """
        total = torch.zeros((), dtype=torch.float64, device=users.device)
        self._begin(len(users))
        parts = (torch.split(part, self._batch_size) for part in (users, positives, negatives))
        for batch in zip(*parts, strict=True):
            self._step(total, *batch)
            self.n_done += 1
        return total

    def _begin(self, n_samples: int) -> None:
        self.n_steps, self.n_done = -(-n_samples // self._batch_size), 0

    def _step(self, total: Tensor, users: Tensor, positives: Tensor, negatives: Tensor) -> None:
        """Update the model with one batch, and add its loss to `total`."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._learner.loss(users.long(), positives.long(), negatives.long())
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        total += loss.detach() * len(users)


class StaticSteps(Steps):
    """The same with static shapes, and on a GPU as a CUDA graph. Only `run` itself waits for the GPU, once.

    The first batches and the last, smaller one are not replayed.
    """

    def __init__(self, learner: TrainableRecommender, optimizer: torch.optim.Optimizer, batch_size: int) -> None:
        super().__init__(learner, optimizer, batch_size)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batches: list[Tensor] = []  # (S, B, …) users, positives and negatives of the whole batches
        self._number = self._total = torch.zeros(0)

    def forget(self) -> None:
        """Record a new graph next time, because the tensors that the old one writes to were replaced."""
        self._graph = None

    def run(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Update the model with each batch in order; return the sum of the samples' losses, a float64 scalar."""
        self._begin(len(users))
        parts = (users, positives, negatives)
        n_whole = len(users) // self._batch_size
        whole = [
            part[: n_whole * self._batch_size].view(n_whole, self._batch_size, *part.shape[1:]).int() for part in parts
        ]
        rest = [part[n_whole * self._batch_size :] for part in parts]
        self._reserve(whole, rest)
        self._set(whole)
        with static_shapes():
            number = 0
            while number < n_whole:
                if number == _WARM_UP and self._graph is None and self._can_record():
                    self._record()
                if self._graph is None:
                    self._warm_up_step()
                else:
                    self._graph.replay()
                number += 1
                self.n_done = number
            if len(rest[0]):
                self._step(self._total, *rest)
                self.n_done += 1
        return self._total

    def _reserve(self, whole: list[Tensor], rest: list[Tensor]) -> None:
        """Reserve the sizes that the batches of this epoch need, with some to spare."""
        needed: dict[str, int] = {}
        for batches in (whole, rest):
            if batches[0].numel():
                sizes = self._learner.batch_sizes(*(part.long() for part in batches))
                largest = torch.stack([size.max() for size in sizes.values()]).tolist() if sizes else []
                for name, size in zip(sizes, largest, strict=True):
                    needed[name] = max(needed.get(name, 0), int(size))
        reserved = self._learner.reserved
        if any(size > reserved.get(name, -1) for name, size in needed.items()):
            reserved.update({name: -(-int(_SPARE * size + 1) // _ROUND) * _ROUND for name, size in needed.items()})
            self.forget()

    def _set(self, whole: list[Tensor]) -> None:
        """Make `whole` the batches of the next steps. A graph reads them where the first epoch's were."""
        if [part.shape for part in self._batches] == [part.shape for part in whole]:
            for kept, part in zip(self._batches, whole, strict=True):
                kept.copy_(part)
            self._number.zero_()
            self._total.zero_()
        else:
            self._batches, device = whole, whole[0].device
            self._number = torch.zeros(1, dtype=torch.int64, device=device)
            self._total = torch.zeros((), dtype=torch.float64, device=device)
            self.forget()

    def _warm_up_step(self) -> None:
        """Take a step; on a GPU in a stream of its own, because a graph is recorded in one, too."""
        if self._number.device.type != "cuda":
            self._next_step()
            return
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._next_step()
        torch.cuda.current_stream().wait_stream(stream)

    def _next_step(self) -> None:
        batch = [part.index_select(0, self._number)[0] for part in self._batches]
        self._number += 1
        self._step(self._total, *batch)

    def _can_record(self) -> bool:
        """Return whether a step can be recorded: on a GPU that keeps all features."""
        features = [module for module in self._learner.modules() if isinstance(module, ScaledFeatures)]
        return self._number.device.type == "cuda" and all(module.fits() for module in features)

    def _record(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._next_step()
        self._graph = graph


def numbers_per_step(model: nn.Module, n_samples: int) -> int:
    """Return about how many numbers a step reads at most: all weights, all features and the batch's `n_samples`."""
    weights = sum(weight.numel() for weight in model.parameters())
    features = sum(module.features.numel() for module in model.modules() if isinstance(module, ScaledFeatures))
    return weights + features + n_samples


def make_steps(learner: TrainableRecommender, optimizer: torch.optim.Optimizer, batch_size: int, device: str) -> Steps:
    """Return the steps for a device, "cpu" or "cuda"."""
    is_static = device != "cpu" and learner.repeats_steps
    return (StaticSteps if is_static else Steps)(learner, optimizer, batch_size)
