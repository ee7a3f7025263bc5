"""Defines the tables of features: `FrameFeature` per feature set, `ItemFeature` per modality."""

import dataframely as dy

from dataset.columns import Vector, about


class FrameFeature(dy.Schema):
    """One row per frame that has a feature: the output of a layer of an image network, or an imported vector."""

    frame_id = dy.String(primary_key=True, min_length=1, **about("The frame: a row of frames."))
    image_sha256 = dy.String(
        nullable=True,
        regex="^[0-9a-f]{64}$",
        **about(
            "The SHA-256 of the picture file, as 64 hexadecimal digits; equal pictures have equal features.",
            null="the vector was imported, and its picture is not known",
        ),
    )
    feature = Vector(
        about(
            "The output of the network's layer or the imported vector, as it is (not scaled to length 1). "
            "manifest.json says where it comes from: the network, its layer and its weights, or the imported file."
        )
    )


class ItemFeature(dy.Schema):
    """One row per movie that has a feature of this modality: a sentence encoder's vector, or an imported one."""

    movie_id = dy.String(primary_key=True, min_length=1, **about("The movie: a row of movies."))
    text_sha256 = dy.String(
        nullable=True,
        regex="^[0-9a-f]{64}$",
        **about(
            "The SHA-256 of the encoded text (UTF-8), as 64 hexadecimal digits; equal texts have equal features.",
            null="the vector was imported",
        ),
    )
    feature = Vector(
        about(
            "The encoder's output or the imported vector, as it is. manifest.json says where it comes from: the "
            "encoder, its model and the columns of the text, or the imported file."
        )
    )
