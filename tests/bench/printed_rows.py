"""The rows that each benchmark prints, read from its source; "…" stands for what is known only when it runs."""

import ast
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
_PARTS = {"gpu": ("gpu_training", "gpu_extraction"), "gowalla": ("gowalla",), "gowalla_long": ("gowalla",)}


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def rows_of(name: str) -> list[tuple[str, str]]:
    """Return (what, against) of the rows of a benchmark, with "…" for what is known only when it runs."""
    rows: list[tuple[str, str]] = []
    for stem in (f"bench_{name}", *_PARTS.get(name, ())):
        tree = ast.parse((FOLDER / f"{stem}.py").read_text("utf-8"))
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Result":
                whats, peers = (_texts(call.args[place], tree) for place in (0, 2))
                rows += [(what, peer) for what in whats for peer in peers]
    return list(dict.fromkeys(rows))


def table() -> list[str]:
    """Return the lines of the README's table."""
    found = [f"| `{name}` | {what} | {peer} |" for name in names() for what, peer in rows_of(name)]
    return ["| benchmark | row | against |", "|---|---|---|", *found]


def _texts(node: ast.expr, tree: ast.Module) -> list[str]:
    """Return the texts that an expression can be, as far as the source says."""
    if isinstance(node, ast.Constant):
        return [str(node.value) or "(the same)"]
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)]
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body, tree), *_texts(node.orelse, tree)]
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):  # of a dict of names
        return _texts(node.value, tree)
    if isinstance(node, ast.Dict):
        return [text for value in node.values for text in _texts(value, tree)]
    if isinstance(node, ast.Name):
        given = [one for one in ast.walk(tree) if isinstance(one, ast.Assign)]
        values = [_value_of(node.id, target, one.value) for one in given for target in one.targets]
        texts = [text for value in values if value is not None for text in _texts(value, tree)]
        return [text for text in dict.fromkeys(texts) if text != "…"] or ["…"]
    return ["…"]


def _value_of(name: str, target: ast.expr, value: ast.expr) -> ast.expr | None:
    """Return what an assignment gives to a name."""
    if isinstance(target, ast.Name):
        return value if target.id == name else None
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=False)
        return next((v for t, v in pairs if isinstance(t, ast.Name) and t.id == name), None)
    return None


if __name__ == "__main__":
    print("\n".join(table()))
