"""One GPU against its own limits: training, evaluation and extraction, each as a share of what the card can do.

    make bench ONLY=gpu

The limits, a matrix product and a copy, are measured first in the same run. The benchmark takes under five minutes on
one H100; without a GPU it says so and ends. `BENCH_GPU_DEVICE=cpu BENCH_GPU_TINY=1` runs every line
at toy sizes on a CPU, which is how it is tested. `GPU_PARTS=training,extraction,agreement` names the parts to run.
"""

import importlib
import os
from collections.abc import Iterator

import torch
from gpu_card import chosen_device, the_card
from run import Result

PARTS = os.environ.get("GPU_PARTS", "training,extraction,agreement").split(",")


def measure() -> Iterator[Result]:
    if chosen_device() == "cuda" and not torch.cuda.is_available():
        print("gpu: left out; torch finds no CUDA GPU on this machine")
        return
    card = the_card()
    name = torch.cuda.get_device_name() if card.device == "cuda" else "the CPU"
    print(f"  {name}: {card.flops / 1e12:,.3g} TFLOP/s in bfloat16, {card.bytes_per_s / 1e12:.3g} TB/s", flush=True)
    for part in PARTS:
        yield from importlib.import_module(f"gpu_{part}").rows()
