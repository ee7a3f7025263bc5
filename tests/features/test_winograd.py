import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from features.config import ExtractorConfig
from features.extractor import Extractor
from features.winograd import WinogradConvolution, is_possible, with_winograd


@pytest.mark.parametrize("padding", [0, 1, (2, 1)])
@pytest.mark.parametrize(("n", "height", "width"), [(1, 3, 3), (3, 7, 14), (2, 5, 8), (1, 64, 70), (40, 4, 9)])
def test_a_convolution_tile_by_tile_is_the_plain_one(
    n: int, height: int, width: int, padding: int | tuple[int, int]
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 6, 3, padding=padding, bias=n != 2)
    inputs = torch.randn(n, 5, height, width).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(WinogradConvolution(plain)(inputs), plain(inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(256, 256, 1),
        nn.Conv2d(256, 256, 3, stride=2),
        nn.Conv2d(256, 256, 3, dilation=2),
        nn.Conv2d(256, 256, 3, groups=2),
        nn.Conv2d(256, 256, 3, padding="same"),
        nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(64, 256, 3),
        nn.Conv2d(128, 128, 3),
        nn.Conv2d(256, 256, 3).double(),
        nn.Linear(256, 256),
    ],
    ids=str,
)
def test_other_layers_stay_as_they_are(other: nn.Module) -> None:
    assert not is_possible(other)
    network = nn.Sequential(other)
    assert with_winograd(network) == (network, 0)


def test_fp32_features_on_a_cpu_are_those_of_the_plain_network() -> None:
    extractor = Extractor(ExtractorConfig("resnet18", "random:0", "fp32"), "cpu")
    pictures = torch.randint(256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain = extractor._reference
    features = extractor.forward(pictures)
    assert sum(isinstance(part, WinogradConvolution) for part in extractor._network.modules()) == 6
    with torch.inference_mode():
        reference = plain(extractor._normalised(pictures.permute(0, 3, 1, 2), torch.float32))
    common = reference.mean(0)  # most of a feature with random weights; the rest must agree as well
    assert cosine_similarity(features - common, reference - common).min() > 0.9999
    assert extractor.check(pictures.numpy(), features, pictures.numpy()) > 0.99999


def test_what_is_not_convolved_keeps_its_memory() -> None:
    network = nn.Sequential(nn.Conv2d(128, 256, 3), nn.Flatten(), nn.Linear(256, 4))
    changed, number = with_winograd(network)
    assert number == 1
    assert changed[2].weight is network[2].weight
    assert isinstance(network[0], nn.Conv2d)
    inputs = torch.randn(2, 128, 3, 3)
    with torch.inference_mode():
        torch.testing.assert_close(changed(inputs), network(inputs), rtol=1e-4, atol=1e-5)
