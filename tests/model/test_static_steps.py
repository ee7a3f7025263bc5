"""Training as a GPU does it, on a CPU: static shapes, no step that waits for values, the same results."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from model.data.jagged import group_by_row, row_positions
from model.data.tables import Tables, index_ids
from model.data.tensors import Frames, TrainingData, held_out_items, training_data
from model.models import distinct
from model.models.recommender import TrainableRecommender
from model.models.registry import MODELS, default_config, make_model
from model.models.segments import mean_by, softmax_by, spread_by, sum_by
from model.models.static_shapes import static_shapes
from model.models.visual import item_frames, kept_features
from model.models.visual.projection import ScaledFeatures
from model.training import steps as training_steps
from model.training.config import TrainingConfig
from model.training.sampling import NegativeSampler
from model.training.steps import StaticSteps
from model.training.trainer import Trainer

LEARNING = [name for name, kind in MODELS.items() if issubclass(kind.model_class, TrainableRecommender)]
SOFTMAX = [name for name in LEARNING if hasattr(default_config(name), "loss")]
CASES = [(name, None, False) for name in LEARNING] + [(n, "softmax", s) for n in SOFTMAX for s in (False, True)]
N_USERS, N_ITEMS, WIDTH, BATCH = 20, 30, 8, 12

# Operations whose result's size or whose next step depends on values: on a GPU, the host waits for them.
WAITS = {
    "_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "unique_dim",
    "unique_consecutive", "unique_dim_consecutive", "_unique", "_unique2", "argwhere", "allclose", "nonzero_static",
}  # fmt: skip


class NoReading(TorchFunctionMode):
    """Fails at a method that reads a tensor's values, which no operation of torch shows on a CPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (Tensor.tolist, Tensor.numpy, Tensor.cpu), f"{func} waits for values"
        return func(*args, **(kwargs or {}))


class NoWaiting(TorchDispatchMode):
    """Fails at an operation that would make the host wait for a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        assert name not in WAITS, f"{func} waits for values"
        if name == "repeat_interleave":
            assert (kwargs or {}).get("output_size") is not None, "repeat_interleave without output_size waits"
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            assert all(index is None or index.dtype != torch.bool for index in args[1]), "a mask as an index waits"
        return func(*args, **(kwargs or {}))


def _made(most_frames: int = 7) -> TrainingData:
    """Return data in which items have very different numbers of frames, some none, and users differ in activity."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.unique(torch.randint(N_USERS, (150,), generator=generator) ** 2 // N_USERS * N_ITEMS
                         + torch.randint(N_ITEMS, (150,), generator=generator))  # fmt: skip
    positives = group_by_row(pairs // N_ITEMS, pairs % N_ITEMS, N_USERS)
    lengths = torch.randint(0, most_frames, (N_ITEMS,), generator=generator)
    lengths[3] = 40
    lengths[-1] = 0
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    features = 1 + torch.randn(int(offsets[-1]), WIDTH, generator=generator)
    return TrainingData(positives, N_ITEMS, Frames(offsets, features.half()))


def _batch(data: TrainingData) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    chosen = torch.randperm(len(data.positives.values), generator=generator)[:BATCH]
    users = data.positives.owners[chosen]
    negatives = NegativeSampler(data.positives, data.n_items).sample(users, 3, generator)
    return users, data.positives.values[chosen], negatives


@pytest.fixture(params=[0.0, 1e9], ids=["all items", "the batch's items"])
def _many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute all items in every batch, or only those that occur in it."""
    for module in (distinct, item_frames):
        monkeypatch.setattr(module, "MANY", request.param)


def _model(case: tuple[str, str | None, bool], data: TrainingData) -> TrainableRecommender:
    """Return the model of a case: its name, its loss (None: its own), and whether a softmax is sampled."""
    name, loss, is_sampled = case
    config = default_config(name) if loss is None else replace(default_config(name), loss=loss)
    model = make_model(name, config, data, 0)
    assert isinstance(model, TrainableRecommender)
    model.is_sampled = is_sampled
    return model


def _reserve(model: TrainableRecommender, batch: tuple[Tensor, ...], spare: int) -> None:
    model.reserved.update({name: int(size) + spare for name, size in model.batch_sizes(*batch).items()})


@pytest.mark.usefixtures("_many")
@pytest.mark.parametrize("spare", [0, 13])
@pytest.mark.parametrize("case", CASES)
def test_with_static_shapes_a_batch_has_the_same_loss_and_gradients(
    case: tuple[str, str | None, bool], spare: int
) -> None:
    data = _made()
    batch = _batch(data)
    found = []
    for is_static in (False, True):
        model = _model(case, data).double()
        with torch.no_grad():
            generator = torch.Generator().manual_seed(2)
            for weight in model.parameters():
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
        _reserve(model, batch, spare)
        if not is_static:
            model.reserved.clear()
        with static_shapes(is_static):
            loss = model.loss(*batch)
            loss.backward()
        found.append({"loss": loss.detach()} | {key: weight.grad for key, weight in model.named_parameters()})
    for key, expected in found[0].items():
        torch.testing.assert_close(found[1][key], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("_many")
@pytest.mark.parametrize("case", CASES)
def test_a_step_of_training_on_a_gpu_never_waits_for_a_value(case: tuple[str, str | None, bool]) -> None:
    data = _made()
    model = _model(case, data)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    batch = _batch(data)
    _reserve(model, batch, 5)
    steps, total = StaticSteps(model, optimizer, BATCH), torch.zeros((), dtype=torch.float64)
    with static_shapes():
        steps._step(total, *batch)  # keeps the features, which is done once
        with NoReading(), NoWaiting():
            steps._step(total, *batch)
    assert torch.isfinite(total)


def test_the_guard_against_waiting_notices_each_way_of_waiting() -> None:
    values, mask = torch.arange(4), torch.tensor([True, False, True, False])
    waits: list[Callable[[], object]] = [
        lambda: int(values[0]), lambda: bool(mask.any()), lambda: values.unique(), lambda: mask.nonzero(),
        lambda: values[mask], lambda: torch.bincount(values), lambda: torch.repeat_interleave(values),
        lambda: values.tolist(), lambda: float(values.sum()),
    ]  # fmt: skip
    for wait in waits:
        with pytest.raises(AssertionError, match="wait"), NoReading(), NoWaiting():
            wait()


@pytest.mark.parametrize("name", LEARNING)
def test_a_training_with_static_shapes_learns_the_same(
    name: str, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = index_ids(tables)
    data, validation = training_data(tables, ids), held_out_items(tables, ids, "validation")
    found = []
    for make_steps in (None, lambda model, optimizer, batch_size, device: StaticSteps(model, optimizer, batch_size)):
        if make_steps is not None:
            monkeypatch.setattr("model.training.trainer.make_steps", make_steps)
        trainer = Trainer(data, validation, name, default_config(name), TrainingConfig(epochs=4, batch_size=32), 0)
        trainer.model.double()
        found.append([epoch.loss for epoch in trainer.run().epochs])
    assert found[1] == pytest.approx(found[0], abs=1e-9)


def test_an_epoch_that_needs_more_room_than_the_one_before_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _made()
    model = make_model("vpoi", default_config("vpoi"), data, 0)
    assert isinstance(model, TrainableRecommender)
    monkeypatch.setattr(training_steps, "_ROUND", 1)
    steps = StaticSteps(model, torch.optim.SGD(model.parameters(), lr=0.1), 4)
    without, many = (torch.full((8,), item) for item in (29, 3))  # without frames, with 40
    users, negatives = torch.zeros(8, dtype=torch.int64), torch.zeros(8, 2, dtype=torch.int64)
    sizes = []
    for positives in (without, many, without):
        steps.run(users, positives, negatives)
        sizes.append(model.reserved["own"])
    assert sizes[0] < 4 * 40 <= sizes[1] == sizes[2]


@pytest.mark.parametrize("n", [1, 3, 4, 11])
def test_every_sample_is_used_once_also_in_the_last_smaller_batch(n: int) -> None:
    seen: list[Tensor] = []

    class Watching(TrainableRecommender):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def loss(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
            seen.append(torch.cat([users[:, None], positives[:, None], negatives], 1))
            return self.weight.sum() + users.double().mean()

        def scorer(self) -> Any:
            raise NotImplementedError

    model = Watching()
    steps = StaticSteps(model, torch.optim.SGD(model.parameters(), lr=0.0), 4)
    samples = torch.arange(n * 4).view(n, 4)
    for _ in range(2):
        seen.clear()
        total = steps.run(samples[:, 0], samples[:, 1], samples[:, 2:])
        assert torch.equal(torch.cat(seen), samples)
        assert float(total) == pytest.approx(float(samples[:, 0].sum()))


def test_padding_counts_in_no_sum_mean_or_softmax() -> None:
    offsets, rows = torch.tensor([0, 2, 2, 5]), torch.tensor([2, 1, 0])
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    positions, owners = row_positions(offsets, rows)
    padded, padded_owners = row_positions(offsets, rows, 9)
    assert padded[:5].equal(positions)
    assert padded_owners.tolist() == [*owners.tolist(), 3, 3, 3, 3]
    for by in (sum_by, mean_by, softmax_by):
        expected = by(owners, values[positions], 3)
        with static_shapes():
            torch.testing.assert_close(by(padded_owners, values[padded], 3)[: len(expected)], expected)
    with static_shapes():
        assert spread_by(padded_owners, torch.tensor([7.0, 8.0, 9.0])).tolist() == [7.0, 7.0, 7.0, 9.0, 9.0, 0, 0, 0, 0]
        assert softmax_by(padded_owners, torch.full((9,), -torch.inf), 3).eq(0).all()


def test_features_that_do_not_fit_on_the_gpu_pass_through_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    features = (3 + torch.randn(50, WIDTH, generator=generator)).half()
    weight = torch.randn(5, WIDTH, generator=generator, dtype=torch.float64).requires_grad_()
    frames = torch.tensor([4, 4, 49, 0])
    found = []
    for free in (1 << 40, 100):
        monkeypatch.setattr(kept_features, "_free_bytes", lambda device, n=free: n)
        monkeypatch.setattr(kept_features, "_BLOCK_BYTES", 7 * 2 * WIDTH)
        scaled = ScaledFeatures(features, "standard").double()
        assert scaled.fits() == (free > 100)
        with static_shapes():
            for chosen in (None, frames):
                projected = scaled.project(weight, chosen)
                found.append((projected, torch.autograd.grad(projected.square().sum(), weight)[0]))
    for kept, streamed in zip(found[:2], found[2:], strict=True):
        torch.testing.assert_close(kept, streamed)
    whole = (features.double() - scaled.shift) * scaled.inverse_scale
    torch.testing.assert_close(found[1][0], whole[frames] @ weight.T)


def test_a_gradient_summed_in_parts_is_the_whole_gradient() -> None:
    gradient, rows = torch.randn(70, 3, dtype=torch.float64), torch.randn(70, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(kept_features._in_parts(gradient, rows, torch.float64), gradient.T @ rows)


def test_a_checkpoint_of_another_device_continues_with_other_draws(
    tables: Tables, caplog: pytest.LogCaptureFixture
) -> None:
    data = training_data(tables, index_ids(tables))
    trainers = [Trainer(data, None, "bpr", default_config("bpr"), TrainingConfig(epochs=3), 0) for _ in range(3)]
    trainers[0].run_epoch()
    state = trainers[0].state_dict() | {"generator": torch.zeros(16, dtype=torch.uint8)}  # as long as a GPU's
    for resumed in trainers[1:]:
        resumed.load_state_dict(copy.deepcopy(state))
        resumed.run()
    assert "resumed on another device" in caplog.text
    assert [epoch.loss for epoch in trainers[1].epochs] == [epoch.loss for epoch in trainers[2].epochs]
