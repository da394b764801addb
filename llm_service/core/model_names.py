"""Decide whether a name that a client gives a model means the model that is there.

Names are given in full (`sentence-transformers/all-MiniLM-L6-v2`) or bare, in any case; no name means what is there.
"""


def means(asked: str | None, name: str) -> bool:
    """Whether `asked` means the model `name`."""
    return not asked or _bare(asked) == _bare(name)


def _bare(name: str) -> str:
    return name.rpartition("/")[2].casefold()
