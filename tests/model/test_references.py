"""Our models with the weights of MMRec's: the same scores, and where the objective is the same, the same loss."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model.data.jagged import group_by_row
from model.data.tensors import Frames, ItemFeatures, TrainingData
from model.models.graphs.bm3 import BM3, BM3Config
from model.models.graphs.freedom import FREEDOM, FREEDOMConfig
from model.models.graphs.lattice import LATTICE, LATTICEConfig
from model.models.graphs.lightgcn import LightGCN, LightGCNConfig
from model.models.visual.vbpr import VBPR, VBPRConfig

N_USERS, N_ITEMS = 12, 15


class Reference:
    """What MMRec's code gave for one model."""

    def __init__(self, name):
        path = Path(__file__).with_name("reference") / f"{name}.npz"
        with np.load(path) as arrays:
            self.arrays = dict(arrays.items())
        self.settings = json.loads(str(self.arrays["settings"]))

    def __getitem__(self, key):
        """Return an array; in float64, where our projections are exact."""
        tensor = torch.from_numpy(np.asarray(self.arrays[key]))
        return tensor.double() if tensor.is_floating_point() else tensor

    def weight(self, name):
        return self[f"weight/{name}"]

    def data(self, pictures="image"):
        """Return the toy; each item has one frame, whose feature is its vector."""
        features = (self[pictures] if isinstance(pictures, str) else pictures).float()
        positives = group_by_row(self["train_users"], self["train_items"], N_USERS)
        frames = Frames(torch.arange(N_ITEMS + 1), features)
        text = ItemFeatures(self["text"].float(), torch.ones(N_ITEMS, dtype=torch.bool))
        return TrainingData(positives, N_ITEMS, frames, {"text": text})

    @property
    def batch(self):
        return self["batch_users"], self["batch_positives"], self["batch_negatives"][:, None]


def fill(parameter, value):
    assert parameter.shape == value.shape
    with torch.no_grad():
        parameter.copy_(value)


def fill_projections(model, reference):
    """Give the projections MMRec's weights; ours see scaled features, by one number without scaling."""
    for name, projection in model.projections.items():
        fill(projection.weight, reference.weight(f"{name}_trs.weight") / projection.features.inverse_scale)
        fill(projection.bias, reference.weight(f"{name}_trs.bias"))


def fill_embeddings(model, reference):
    fill(model.users, reference.weight("user_embedding.weight"))
    fill(model.items, reference.weight("item_id_embedding.weight"))


def scores(model):
    return model.scorer().item_scores(torch.arange(N_USERS))


def assert_same_gradients(model, reference, names):
    """Compare gradients of parameters by our names and MMRec's."""
    for ours, theirs in names.items():
        expected = reference[f"gradient/{theirs}"]
        gradient = model.get_parameter(ours).grad
        if ours.startswith("projections.") and ours.endswith(".weight"):
            gradient = gradient / model.get_submodule(ours.removesuffix(".weight")).features.inverse_scale
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4, msg=lambda text, n=ours: f"{n}: {text}")


PROJECTIONS = {
    f"projections.{name}.{part}": f"{name}_trs.{part}" for name in ("image", "text") for part in ("weight", "bias")
}
PREDICTOR = {f"predictor_{part}": f"predictor.{part}" for part in ("weight", "bias")}
EMBEDDINGS = {"users": "user_embedding.weight", "items": "item_id_embedding.weight"}


def make_lightgcn(l2=0.0):
    reference = Reference("lightgcn")
    config = LightGCNConfig(reference.settings["embedding_size"], reference.settings["n_layers"], l2)
    model = LightGCN(config, reference.data(), torch.Generator()).double()
    fill(model.users, reference.weight("embedding_dict.user_emb"))
    fill(model.items, reference.weight("embedding_dict.item_emb"))
    return model, reference


def make_freedom():
    reference = Reference("freedom")
    settings = reference.settings
    config = FREEDOMConfig(
        settings["embedding_size"],
        settings["n_ui_layers"],
        settings["n_mm_layers"],
        settings["knn_k"],
        settings["mm_image_weight"],
        item_graph_weight=1.0,
        edge_dropout=settings["dropout"],
        reg_weight=settings["reg_weight"],
        l2=0.0,
        feature_scaling="none",
    )
    model = FREEDOM(config, reference.data(), torch.Generator()).double()
    fill_embeddings(model, reference)
    fill_projections(model, reference)
    return model, reference


def make_lattice():
    reference = Reference("lattice")
    settings = reference.settings
    config = LATTICEConfig(
        settings["embedding_size"],
        n_neighbours=settings["knn_k"],
        raw_share=settings["lambda_coeff"],
        item_graph_weight=1.0,
        n_item_layers=settings["n_layers"],
        n_layers=len(settings["weight_size"]),
        l2=settings["reg_weight"] / 2,  # MMRec halves the squares
        feature_scaling="none",
    )
    model = LATTICE(config, reference.data(), torch.Generator()).double()
    fill_embeddings(model, reference)
    fill_projections(model, reference)
    fill(model.mixture, reference.weight("modal_weight"))
    return model, reference


def make_bm3():
    reference = Reference("bm3")
    settings = reference.settings
    config = BM3Config(
        settings["embedding_size"],
        settings["n_layers"],
        settings["dropout"],
        settings["reg_weight"],
        settings["cl_weight"],
        feature_scaling="none",
    )
    model = BM3(config, reference.data(), torch.Generator()).double()
    fill_embeddings(model, reference)
    fill_projections(model, reference)
    fill(model.predictor_weight, reference.weight("predictor.weight"))
    fill(model.predictor_bias, reference.weight("predictor.bias"))
    return model, reference


@pytest.mark.parametrize("make", [make_lightgcn, make_freedom, make_lattice, make_bm3])
def test_the_scores_are_those_of_mmrec(make):
    model, reference = make()
    torch.testing.assert_close(scores(model), reference["scores"], atol=1e-5, rtol=0)


def test_vbprs_scores_are_those_of_mmrec():
    """MMRec's item vector is [i, W (text, image) + b]; ours sees shifted features, which adds a number per user."""
    reference = Reference("vbpr")
    d = reference.settings["embedding_size"]
    features = torch.cat([reference["text"], reference["image"]], 1)
    model = VBPR(VBPRConfig(d, d, feature_scaling="none"), reference.data(features), torch.Generator()).double()
    weight, bias = reference.weight("item_linear.weight"), reference.weight("item_linear.bias")
    fill(model.users, reference.weight("u_embedding"))
    fill(model.items, nn.functional.pad(reference.weight("i_embedding"), (0, 1)))  # no bias of the item
    fill(model.visual, nn.functional.pad(weight / model.features.inverse_scale, (0, 0, 1, 0)))  # nor of its looks
    of_user = reference.weight("u_embedding")[:, d:] @ bias
    torch.testing.assert_close(scores(model) + of_user[:, None], reference["scores"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (make_freedom, EMBEDDINGS | PROJECTIONS),
        (make_lattice, EMBEDDINGS | PROJECTIONS | {"mixture": "modal_weight"}),
        (
            make_bm3,
            EMBEDDINGS | PROJECTIONS | {f"predictor_{part}": f"predictor.{part}" for part in ("weight", "bias")},
        ),
    ],
)
def test_the_losses_and_gradients_are_those_of_mmrec(make, names):
    model, reference = make()
    loss = model.loss(*reference.batch)
    loss.backward()
    torch.testing.assert_close(loss, reference["loss"], atol=1e-5, rtol=1e-5)
    assert_same_gradients(model, reference, names)


def test_lightgcns_loss_is_mmrecs_but_for_the_penalty():
    """MMRec's penalty is the sum of three norms of the batch's embeddings, ours the mean of their squares."""
    model, reference = make_lightgcn()
    users, positives, negatives = reference.batch
    norms = model.users[users].norm() + model.items[positives].norm() + model.items[negatives].norm()
    penalty = reference.settings["reg_weight"] * norms / len(users)
    loss = model.loss(users, positives, negatives) + penalty
    loss.backward()
    torch.testing.assert_close(loss.detach(), reference["loss"], atol=1e-5, rtol=1e-5)
    assert_same_gradients(model, reference, {"users": "embedding_dict.user_emb", "items": "embedding_dict.item_emb"})
    of_batch = model.users[users], model.items[positives], model.items[negatives]
    squares = sum(vectors.square().sum(-1).mean() for vectors in of_batch)
    with_penalty = make_lightgcn(0.5)[0].loss(users, positives, negatives)
    torch.testing.assert_close(with_penalty, loss - penalty + 0.5 * squares)
