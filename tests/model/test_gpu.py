"""What only a GPU shows. `test_static_steps.py` tests the same steps on a CPU."""

from dataclasses import replace

import pytest
import torch

from model.data.tables import Tables, index_ids
from model.data.tensors import held_out_items, training_data
from model.evaluation.config import EvaluationConfig
from model.evaluation.evaluate import evaluate
from model.evaluation.metrics import ndcg
from model.evaluation.ranking import full_ranking
from model.models.recommender import TrainableRecommender
from model.models.registry import MODELS, default_config, make_model
from model.models.static_shapes import static_shapes
from model.training.config import TrainingConfig
from model.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

LEARNING = [name for name, kind in MODELS.items() if issubclass(kind.model_class, TrainableRecommender)]
RECORDED = [name for name in LEARNING if MODELS[name].model_class.repeats_steps]


def _trainer(tables: Tables, name: str, device: str, seed: int = 0, epochs: int = 6, batch_size: int = 16) -> Trainer:
    training = TrainingConfig(epochs=epochs, batch_size=batch_size)
    data, config = training_data(tables, index_ids(tables)), default_config(name)
    if name == "bm3":
        config = replace(config, dropout=0.0)  # what is dropped is drawn on the device that trains
    trainer = Trainer(data, None, name, config, training, seed, device)
    trainer._generator = torch.Generator().manual_seed(seed + 1)  # both devices draw the same negatives
    return trainer


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_step_never_waits(name: str, tables: Tables) -> None:
    trainer = _trainer(tables, name, "cuda")
    trainer.run_epoch()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            trainer._steps._graph.replay()  # type: ignore[attr-defined]
        with static_shapes():
            trainer._steps._number.zero_()  # type: ignore[attr-defined]
            trainer._steps._next_step()  # type: ignore[attr-defined]
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", LEARNING)
def test_the_same_seed_gives_the_same_run_and_so_does_a_resumed_one(name: str, tables: Tables) -> None:
    whole, again, stopped, resumed = (_trainer(tables, name, "cuda") for _ in range(4))
    whole.run(), again.run()
    stopped.run_epoch(), stopped.run_epoch()
    resumed.load_state_dict(stopped.state_dict())
    resumed.run()
    for other in (again, resumed):
        assert [epoch.loss for epoch in other.epochs] == [epoch.loss for epoch in whole.epochs]
        for weight, expected in zip(other.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(weight, expected)


@pytest.mark.parametrize("name", MODELS)
def test_an_evaluation_on_a_gpu_gives_the_same_metrics(name: str, tables: Tables) -> None:
    data = training_data(tables, index_ids(tables))
    config = EvaluationConfig(item_ks=(1, 5), frame_ks=(1,), protocol="sampled", n_negatives=4, n_repeats=3)
    values = [
        evaluate(make_model(name, default_config(name), data, 0).to(device).scorer(), tables, "test", name, 0, config,
                 device).metrics["value"].to_numpy()
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    assert values[1] == pytest.approx(values[0], abs=2e-3)


@pytest.mark.parametrize("name", ["jifr", "acf"])
def test_features_that_do_not_fit_pass_through_and_give_the_same_run(
    name: str, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [epoch.loss for epoch in _trainer(tables, name, "cuda").run().epochs]
    monkeypatch.setattr("model.models.visual.kept_features._free_bytes", lambda device: 0)
    streamed = [epoch.loss for epoch in _trainer(tables, name, "cuda").run().epochs]
    assert streamed == pytest.approx(kept, rel=2e-3)


@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_resumes_on_another_device(first: str, then: str, tables: Tables) -> None:
    data, training = training_data(tables, index_ids(tables)), TrainingConfig(epochs=6, batch_size=16)
    whole, begun, resumed = (
        Trainer(data, None, "jifr", default_config("jifr"), training, 0, device) for device in (first, first, then)
    )
    begun.run_epoch()
    resumed.load_state_dict(begun.state_dict())
    assert resumed.run().epochs[-1].loss == pytest.approx(whole.run().epochs[-1].loss, rel=0.02)


@pytest.mark.parametrize("name", LEARNING)
def test_a_run_on_a_gpu_agrees_with_one_on_the_cpu(name: str, tables: Tables) -> None:
    held_out = held_out_items(tables, index_ids(tables), "test")
    means = {}
    for device in ("cpu", "cuda"):
        found = [_trainer(tables, name, device, seed, 8, 32).run().model.scorer() for seed in range(5)]
        means[device] = sum(float(ndcg(full_ranking(one, held_out, 15, device), 15).mean()) for one in found) / 5
    assert means["cuda"] == pytest.approx(means["cpu"], rel=0.005)
