import copy

import pytest
import torch

from features.config import ExtractorConfig
from features.extractor import Extractor
from features.fusing import fuse, fused_if_possible, is_fused


def convolution_with_relu(*arguments: object) -> torch.Tensor:
    return torch.convolution(*arguments[:6], False, (0, 0), arguments[6]).relu()  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(("name", "number"), [("vgg11", 8), ("alexnet", 5), ("resnet18", 0), ("squeezenet1_1", 25)])
def test_a_fused_network_computes_the_same(name: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "cudnn_convolution_relu", convolution_with_relu)
    node = ":features" if name == "squeezenet1_1" else ""
    plain = Extractor(ExtractorConfig(name + node, "random:0", "fp32"), "cpu")._reference
    fused = copy.deepcopy(plain).eval()
    assert fuse(fused) == number
    assert is_fused(fused) == (number > 0)
    inputs = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(fused(inputs), plain(inputs))


def test_a_convolution_that_is_used_twice_is_not_fused() -> None:
    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.relu = torch.nn.Conv2d(3, 3, 1), torch.nn.ReLU()

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            before = self.convolution(inputs)
            return self.relu(before) + before

    assert fuse(torch.fx.symbolic_trace(Twice())) == 0


def test_on_a_cpu_nothing_is_fused() -> None:
    made = torch.nn.Conv2d(3, 3, 1)
    assert fused_if_possible(lambda: made, torch.zeros(1, 3, 4, 4)) is made
