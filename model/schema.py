"""The tables that training, evaluation and reports write, column by column: the one place where they are defined.

Training and search:  `Training`, `Tuning`, `SearchedSetting`, `BestSoFar`, `Cost`
Evaluation:           `Metric`, `FoldMetric`, `FoldPair`, `UserMetric`, `HeldOutRank`, `SliceMetric`, `Comparison`,
                      `SplitAgreement`
Bundles:              `CandidateRank`, `Entry`
Recommendations:      `Recommendation`
The report's gallery: `Case`, `CaseFrame`, `CaseMovie`
Input, not a result:  `NewFrame`

Identifiers (`user_id`, `movie_id`, `frame_id`) are those of the snapshot (`dataset.schema`).
"""

import dataframely as dy

from dataset.columns import Vector

TASKS = ("item", "frame")
SLICES = ("user_activity", "item_popularity", "item_frames")


class Training(dy.Schema):
    """One epoch of one training run.

    `loss` is null for models without one (neighbours), and `validation_ndcg` in epochs without validation.
    """

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    epoch = dy.UInt32(primary_key=True, min=1)
    loss = dy.Float64(nullable=True)
    validation_ndcg = dy.Float64(nullable=True, min=0, max=1)
    seconds = dy.Float64(min=0)


class Tuning(dy.Schema):
    """One trial of a search for settings.

    `settings` is a JSON object; `error` says why a trial failed to train. A trial that was `pruned` ended early, as it
    was worse than others.
    """

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    trial = dy.UInt32(primary_key=True)
    settings = dy.String(min_length=2)
    validation_ndcg = dy.Float64(nullable=True, min=0, max=1)
    pruned = dy.Bool()
    best_epoch = dy.UInt32(nullable=True, min=1)
    epochs = dy.UInt32()
    seconds = dy.Float64(min=0)
    error = dy.String(nullable=True)


class SearchedSetting(dy.Schema):
    """A setting that a search has chosen: what was tried, what was best, and what the search cost.

    `setting` is one setting, or several that are equal, joined by commas. `low` and `high` are the lowest and highest
    number that could be tried; they and `best_value` are null for texts. `edge` says at which end of these the best
    one lies, if at one. `validation_ndcg` is that of the best trial, and `seconds` are those of all trials.
    """

    model = dy.String(primary_key=True)
    setting = dy.String(primary_key=True)
    tried = dy.String()
    low = dy.Float64(nullable=True)
    high = dy.Float64(nullable=True)
    best = dy.String()
    best_value = dy.Float64(nullable=True)
    edge = dy.Enum(["low", "high"], nullable=True)
    n_trials = dy.UInt32(min=1)
    n_pruned = dy.UInt32()
    n_failed = dy.UInt32()
    seconds = dy.Float64(min=0)
    validation_ndcg = dy.Float64(min=0, max=1)


class BestSoFar(dy.Schema):
    """The best validation NDCG of a search after its first `number` trials, and the seconds that these took."""

    model = dy.String(primary_key=True)
    number = dy.UInt32(primary_key=True, min=1)
    best = dy.Float64(min=0, max=1)
    seconds = dy.Float64(min=0)


class NewFrame(dy.Schema):
    """The feature of a new picture of a known or a new movie, read by `python -m model.recommend --frames`."""

    frame_id = dy.String(primary_key=True, min_length=1)
    movie_id = dy.String(min_length=1)
    feature = Vector()


class ModelMetric(dy.Schema):
    """The first columns of every table of metrics: the model, its training seed, and what was measured."""

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    task = dy.Enum(TASKS, primary_key=True)
    metric = dy.String(primary_key=True)
    k = dy.UInt32(primary_key=True, min=1)


class Metric(ModelMetric):
    """A metric averaged over users (task `item`) or user-movie pairs (task `frame`); `n_users` counts either.

    `ci_low` and `ci_high` bound a 95 % bootstrap interval over users. They are null for metrics over
    all users (`full_coverage`, `full_gini`). The average leaves out `n_left_out` users without a
    held-out positive (task `frame`: pairs whose liked frames have no features). For sampled negatives, `std`
    is the standard deviation of `value` between the repeats, and `negatives_sha256` identifies the
    negatives.
    """

    value = dy.Float64(min=0)
    ci_low = dy.Float64(nullable=True)
    ci_high = dy.Float64(nullable=True)
    n_users = dy.UInt32(min=1)
    n_left_out = dy.UInt32()
    std = dy.Float64(nullable=True, min=0)
    negatives_sha256 = dy.String(nullable=True, regex="^[0-9a-f]{64}$")


class FoldMetric(Metric):
    """A metric on one fold of train and validation, numbered from 1."""

    fold = dy.UInt32(primary_key=True, min=1)


class FoldPair(dy.Schema):
    """A pair of the train or validation split, and the fold that holds it out, numbered from 1."""

    user_id = dy.String(primary_key=True)
    movie_id = dy.String(primary_key=True)
    fold = dy.UInt32(min=1)


class UserMetric(ModelMetric):
    """A metric of one user (task `item`) or of one user-movie pair (task `frame`).

    In an experiment with folds, it is the mean over the folds that the user or the pair is in.
    """

    user_id = dy.String(primary_key=True)
    movie_id = dy.String(primary_key=True)  # empty for task `item`
    value = dy.Float64()


class HeldOutRank(dy.Schema):
    """The position of one held-out positive among all candidates. The ranking metrics follow from this table.

    `frame_id` is empty for task `item`. Of the user's other positives (for frames: those of the
    same movie), `positives_before` rank above this one. Of the `n_negatives` negatives,
    `negatives_above` have a higher score and `negatives_tied` have the same score. Positives with
    equal scores form a group of `group_size`; this one is number `place` in it, counted from 0
    (see `model.evaluation.expectation`).
    """

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    task = dy.Enum(TASKS, primary_key=True)
    user_id = dy.String(primary_key=True)
    movie_id = dy.String(primary_key=True)
    frame_id = dy.String(primary_key=True)
    positives_before = dy.UInt32()
    negatives_above = dy.UInt32()
    negatives_tied = dy.UInt32()
    place = dy.UInt32()
    group_size = dy.UInt32(min=1)
    n_negatives = dy.UInt32()


class SliceMetric(ModelMetric):
    """A metric over the held-out positives whose `slice_by` value is between `low` and `high`, both included.

    `user_activity` is the user's number of train interactions, `item_popularity` the movie's (0 to 0
    are the cold movies, 1 to 5 the nearly cold ones), and `item_frames` the movie's number of frames. A user
    contributes the positives that are in the slice, ranked among all candidates. `n_users` and the interval are as
    in `Metric`.
    """

    slice_by = dy.Enum(SLICES, primary_key=True)
    low = dy.UInt32(primary_key=True)
    high = dy.UInt32()
    value = dy.Float64(min=0)
    ci_low = dy.Float64()
    ci_high = dy.Float64()
    n_users = dy.UInt32(min=1)
    n_positives = dy.UInt32(min=1)


class Comparison(dy.Schema):
    """Whether `model` and `other` differ in a metric by more than chance, over the same users.

    `difference` is `value` − `other_value`, both means over users and seeds, with a 95 % interval.
    `p_value` comes from a paired t-test. `p_holm` corrects it (Holm 1979) for comparing all pairs of
    models by the same metric and K. `is_real` is `p_holm` < 0.05.
    """

    task = dy.Enum(TASKS, primary_key=True)
    metric = dy.String(primary_key=True)
    k = dy.UInt32(primary_key=True, min=1)
    model = dy.String(primary_key=True)
    other = dy.String(primary_key=True)
    value = dy.Float64(min=0)
    other_value = dy.Float64(min=0)
    difference = dy.Float64()
    ci_low = dy.Float64()
    ci_high = dy.Float64()
    p_value = dy.Float64(min=0, max=1)
    p_holm = dy.Float64(min=0, max=1)
    is_real = dy.Bool()
    n_users = dy.UInt32(min=2)
    n_seeds = dy.UInt32(min=1)
    other_n_seeds = dy.UInt32(min=1)


class SplitAgreement(dy.Schema):
    """How alike another split orders the models: Kendall's τ-b of their means, with a 95 % interval over users.

    `other` is the snapshot of the other split, and `n_models` are the models in both orders.
    """

    task = dy.Enum(TASKS, primary_key=True)
    metric = dy.String(primary_key=True)
    k = dy.UInt32(primary_key=True, min=1)
    other = dy.String(primary_key=True)
    other_split = dy.String()
    n_models = dy.UInt32(min=2)
    n_users = dy.UInt32(min=1)
    tau = dy.Float64(min=-1, max=1)
    ci_low = dy.Float64(min=-1, max=1)
    ci_high = dy.Float64(min=-1, max=1)


class CandidateRank(dy.Schema):
    """The mean rank of an item (`frame_id` is empty) or a frame over its `n_positives` held-out positives.

    A rank is that among all candidates, from 1, with ties in expectation.
    """

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    task = dy.Enum(TASKS, primary_key=True)
    movie_id = dy.String(primary_key=True)
    frame_id = dy.String(primary_key=True)
    mean_rank = dy.Float64(min=1)
    n_positives = dy.UInt32(min=1)


class Entry(dy.Schema):
    """A metric of a model of a bundle, on the page of all bundles; means over `n_seeds` seeds.

    `data` is the content digest of the snapshot. `std` is the standard deviation between seeds. `p_best` is the p-value
    (Holm) of the difference from the best verified model by the metric that the page sorts by; it is null for other
    metrics, for that model itself, and for what was not compared.
    """

    data = dy.String(primary_key=True, regex="^[0-9a-f]{64}$")
    bundle = dy.String(primary_key=True)
    model = dy.String(primary_key=True)
    task = dy.Enum(TASKS, primary_key=True)
    metric = dy.String(primary_key=True)
    k = dy.UInt32(primary_key=True, min=1)
    value = dy.Float64(min=0)
    ci_low = dy.Float64(nullable=True)
    ci_high = dy.Float64(nullable=True)
    std = dy.Float64(nullable=True, min=0)
    n_seeds = dy.UInt32(min=1)
    n_users = dy.UInt32(min=1)
    is_verified = dy.Bool()
    p_best = dy.Float64(nullable=True, min=0, max=1)


class Recommendation(dy.Schema):
    """A recommended movie and the key frame to show for it; rank 1 is best."""

    user_id = dy.String(primary_key=True)
    rank = dy.UInt32(primary_key=True, min=1)
    movie_id = dy.String()
    score = dy.Float64()
    key_frame_id = dy.String(nullable=True)
    frame_score = dy.Float64(nullable=True)


class Cost(dy.Schema):
    """What a run cost in seconds and memory. The memory is null where the system does not report it.

    `n_parameters` counts all numbers that the model has learnt, also those of models without gradients: EASE's weights
    from every item to every item, or the counts of the most popular. `evaluate_s` is null until the run was evaluated
    on the test split.
    """

    model = dy.String(primary_key=True)
    seed = dy.Int64(primary_key=True)
    n_parameters = dy.UInt64()
    n_epochs = dy.UInt32()
    best_epoch = dy.UInt32()
    train_s = dy.Float64(min=0)
    evaluate_s = dy.Float64(nullable=True, min=0)
    n_threads = dy.UInt32(min=1)
    peak_memory_bytes = dy.UInt64(nullable=True)


class Case(dy.Schema):
    """A user-movie pair in the report's gallery. Of all `n_pairs` pairs, `n_alike` are of the same `kind`.

    `habit_share` is β of the rating attention: the weight of habit for this pair; looks have weight 1 − β.
    """

    case = dy.UInt32(primary_key=True, min=1)
    kind = dy.String(min_length=1)
    user_id = dy.String()
    movie_id = dy.String()
    n_alike = dy.UInt32(min=1)
    n_pairs = dy.UInt32(min=1)
    habit_share = dy.Float64(min=0, max=1)


class CaseFrame(dy.Schema):
    """A frame of a case's movie as a model ranks it for the user. Rank 1 is the key frame that the model shows.

    `attention` is the model's visual attention; null for models without one.
    """

    case = dy.UInt32(primary_key=True, min=1)
    model = dy.String(primary_key=True)
    frame_id = dy.String(primary_key=True)
    rank = dy.UInt32(min=1)
    score = dy.Float64()
    attention = dy.Float64(nullable=True, min=0, max=1)
    is_liked = dy.Bool()


class CaseMovie(dy.Schema):
    """A movie that a case's user watched (in train) or is recommended, with the frame that represents it."""

    case = dy.UInt32(primary_key=True, min=1)
    role = dy.Enum(["watched", "recommended"], primary_key=True)
    rank = dy.UInt32(primary_key=True, min=1)
    movie_id = dy.String()
    frame_id = dy.String(nullable=True)
    is_hit = dy.Bool()
