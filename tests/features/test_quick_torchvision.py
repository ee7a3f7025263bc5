import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, timeout=120
    ).stdout.strip()


def test_the_extractor_is_imported_without_torchs_compiler() -> None:
    code = "import sys, features.extract, features.extractor; print({'torch._dynamo', 'sympy'} & set(sys.modules))"
    assert run(code) == "set()"


def test_torchs_compiler_works_afterwards() -> None:
    code = """
import features.extractor, torch
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item())
import torch._dynamo.utils
from torchvision.ops import RoIAlign
print(RoIAlign(2, 1.0, 1)(torch.ones(1, 1, 4, 4), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]).shape)
"""
    assert run(code) == "2.0\ntorch.Size([1, 1, 2, 2])"


def test_whatever_else_asks_for_the_compiler_gets_the_real_one() -> None:
    code = """
import torch, sys
from features.quick_torchvision import _StandIn
sys.modules["torch._dynamo"] = _StandIn("torch._dynamo")
from torch._dynamo import optimize
print(optimize.__module__.startswith("torch._dynamo"), type(sys.modules["torch._dynamo"]).__name__)
"""
    assert run(code) == "True module"
