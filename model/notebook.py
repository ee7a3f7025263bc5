# %% [markdown]
# # From a snapshot to a chart
#
# This script is a notebook: editors such as VS Code and PyCharm run it cell by cell, `jupytext --to ipynb` converts it, and
# `python -m model.notebook` runs it as a whole. It needs a published snapshot below `data/snapshots`: `make demo` makes one,
# or take your own ratings (`python -m dataset import --help`).

# %% [markdown]
# ## The data
#
# A snapshot is a folder of Parquet tables, read as polars frames. `load` makes indices and tensors of them for training.

# %%
import altair as alt
import douban_keyframes as dk
import polars as pl

snapshot = dk.newest_snapshot()
data = dk.load(snapshot)
titles = snapshot.read("movies").select("movie_id", "title")
train_counts = snapshot.read("interactions").filter(pl.col("split") == "train").group_by("movie_id").len("people")
print(snapshot.label)
print(titles.join(train_counts, on="movie_id").sort("people", "movie_id", descending=[True, False]).head(5))

# %% [markdown]
# ## Models
#
# Validation decides when training stops. The same seed gives the same model. `settings` changes the model or its training;
# `dk.MODEL_NAMES` lists the models. JIFR needs features of pictures.

# %%
names = ["jifr", "vbpr", "bpr", "popular"] if snapshot.feature_table else ["bpr", "ease", "popular"]
runs = {name: dk.train(name, data, seed=0, settings={"epochs": 10}) for name in names}
learnt = pl.concat([run.training for run in runs.values()])
print(learnt.group_by("model", maintain_order=True).agg(pl.len().alias("epochs"), pl.col("validation_ndcg").max()))

# %% [markdown]
# ## Evaluation
#
# HR@K and NDCG@K on the test split, with 95 % intervals over people. `compare` says which differences are more than chance
# (paired t-tests with Holm's correction).

# %%
evaluations = {name: dk.evaluate(run, data, "test") for name, run in runs.items()}
metrics = pl.concat([evaluation.metrics for evaluation in evaluations.values()])
shown = metrics.filter(task="item", metric="ndcg", k=15).select("model", "value", "ci_low", "ci_high")
print(shown.sort("value", descending=True))
compared = dk.compare(list(evaluations.values())).filter(task="item", metric="ndcg", k=15)
print(compared.select("model", "other", "difference", "p_holm", "is_real"))

# %% [markdown]
# ## Recommendations
#
# The movies for one person that are new to them, each with its key frame if the model ranks frames.

# %%
person = data.ids.users[0]
recommended = dk.recommend(runs[names[0]], data, n=5, users=[person])
print(recommended.join(titles, on="movie_id").sort("rank").select("rank", "title", "score", "key_frame_id"))

# %% [markdown]
# ## A chart
#
# The tables are polars frames, so any library draws them. Altair is installed with this project; it writes SVG, PNG and PDF.

# %%
base = alt.Chart(shown).encode(alt.Y("model:N", sort="-x", title=None))
intervals = base.mark_rule(strokeWidth=3, opacity=0.5).encode(alt.X("ci_low:Q", title="NDCG@15"), alt.X2("ci_high:Q"))
chart = intervals + base.mark_point(filled=True, size=80).encode(alt.X("value:Q"))
chart.properties(width=300, title=f"Test split of {snapshot.label}").save("notebook.pdf")
print("The chart is notebook.pdf.")
