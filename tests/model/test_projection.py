import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from features.extractor import best_precision
from model.models.visual import projection
from model.models.visual.projection import ScaledFeatures, mean_by_item

N_FRAMES, WIDTH, DIM = 40, 24, 5


def _features(dtype: torch.dtype = torch.float16) -> torch.Tensor:
    """Frames whose common part is ten times what tells them apart."""
    generator = torch.Generator().manual_seed(0)
    common = 10 * torch.rand(WIDTH, generator=generator)
    return (common + torch.randn(N_FRAMES, WIDTH, generator=generator)).to(dtype)


def _weight(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(DIM, WIDTH, generator=torch.Generator().manual_seed(1), dtype=dtype).requires_grad_()


@given(st.lists(st.integers(0, N_FRAMES - 1), max_size=30), st.integers(1, 7), st.sampled_from([0, 20, 100]))
def test_projections_and_gradients_do_not_depend_on_the_blocks(frames: list[int], rows: int, whole_rows: int) -> None:
    scaled, weight = ScaledFeatures(_features(), "standard").double(), _weight()
    chosen = torch.tensor([*frames, *range(3, 12)])  # gathered and neighbouring ones
    whole = (scaled.features.double() - scaled.shift) * scaled.inverse_scale
    expected = whole[chosen] @ weight.T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "_BLOCK_NUMBERS", rows * WIDTH)
        patch.setattr(projection, "_ONE_BLOCK_NUMBERS", whole_rows * WIDTH)
        projected = scaled.project(weight, chosen)
        of_weight = torch.autograd.grad(projected.square().sum(), weight)[0]
    torch.testing.assert_close(projected, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(of_weight, torch.autograd.grad(expected.square().sum(), weight)[0], rtol=0, atol=1e-10)


def test_a_gradient_is_right_if_other_frames_are_projected_before_the_backward_pass() -> None:
    scaled, weight = ScaledFeatures(_features(), "standard").double(), _weight()
    first, second = torch.tensor([7, 3, 20]), torch.tensor([1, 30, 2])
    of_first = torch.autograd.grad(scaled.project(weight, first).square().sum(), weight)[0]
    projected = scaled.project(weight, first)
    scaled.project(weight, second)
    assert torch.equal(torch.autograd.grad(projected.square().sum(), weight)[0], of_first)


def test_in_bfloat16_the_common_part_of_features_costs_no_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled, frames = ScaledFeatures(_features(), "standard"), torch.arange(N_FRAMES)
    results = []
    for is_native in (False, True):
        monkeypatch.setattr(projection, "multiplies_bfloat16", lambda device_type, native=is_native: native)
        weight = _weight(torch.float32)
        projected = scaled.project(weight, frames)
        results.append((projected, torch.autograd.grad(projected.square().sum(), weight)[0]))
    for full, half in zip(*results, strict=True):
        assert half.dtype == torch.float32
        assert not torch.equal(full, half)
        assert torch.nn.functional.cosine_similarity(full.flatten(), half.flatten(), 0) > 0.9999


@pytest.mark.parametrize("is_native", [True, False])
def test_a_kept_shifted_copy_gives_what_features_shifted_each_time_give(
    is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "multiplies_bfloat16", lambda _device_type: is_native)
    scaled, frames = ScaledFeatures(_features(), "standard"), torch.tensor([7, 3, 20, 21, 22])
    kept = scaled.project(_weight(torch.float32), frames)
    monkeypatch.setattr(projection, "_KEPT_BYTES", 0)
    tolerance = {"rtol": 0.0, "atol": 0.0 if is_native else 1e-4}
    torch.testing.assert_close(scaled.project(_weight(torch.float32), frames), kept, **tolerance)


@pytest.mark.parametrize("limit", ["AVX2", "avx512_core", "AVX512_CORE_VNNI"])
def test_a_processor_that_is_kept_from_bfloat16_multiplies_in_float32(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features and training choose alike, for emulated bfloat16 is many times slower than float32."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    chosen = projection.multiplies_bfloat16.__wrapped__
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert (chosen("cpu"), best_precision(torch.device("cpu"))) == (True, "bf16")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert (chosen("cpu"), best_precision(torch.device("cpu"))) == (False, "fp32")


def test_kept_features_are_shifted_again_when_another_shift_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(projection, "multiplies_bfloat16", lambda _device_type: True)
    scaled, other = ScaledFeatures(_features(), "standard"), ScaledFeatures(_features() + 1, "standard")
    weight, frames = _weight(torch.float32), torch.arange(N_FRAMES)
    before = scaled.project(weight, frames)
    scaled.load_state_dict(other.state_dict())
    fresh = ScaledFeatures(_features(), "standard")
    fresh.load_state_dict(other.state_dict())
    assert torch.equal(scaled.project(weight, frames), fresh.project(weight, frames))
    assert not torch.equal(scaled.project(weight, frames), before)


def test_item_features_are_means_of_frames_and_items_without_frames_get_the_mean_item() -> None:
    features = _features(torch.float32)
    means = mean_by_item(features, torch.tensor([0, 3, 3, 10]))
    torch.testing.assert_close(means[0], features[:3].mean(0))
    torch.testing.assert_close(means[2], features[3:10].mean(0))
    torch.testing.assert_close(means[1], (means[0] + means[2]) / 2)
