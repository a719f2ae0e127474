"""The client's exceptions: what each means, what it is a kind of, and the page of its problem type."""

from __future__ import annotations

from collections.abc import Iterator

from modelyard.errors import ModelyardError, Problem

MODULE = ModelyardError.__module__


def page(_docname: str) -> str:
    """Return an entry for each exception but `Problem` itself, which the page documents in full: parents before their kinds."""
    entries = [_entry(cls) for cls in _below(ModelyardError) if cls is not Problem]
    return "\n\n".join([f"```{{py:currentmodule}} {MODULE}\n```", *entries])


def _below(cls: type[ModelyardError]) -> Iterator[type[ModelyardError]]:
    yield cls
    for kind in cls.__subclasses__():
        yield from _below(kind)


def _entry(cls: type[ModelyardError]) -> str:
    parts = [(cls.__doc__ or "").strip()]
    parts += [f"A kind of {{py:exc}}`{base.__name__}`." for base in cls.__bases__ if issubclass(base, ModelyardError)]
    if issubclass(cls, Problem):
        parts.append(f"Problem type [`{cls.slug}`](../problems/{cls.slug}.md).")
    return f"```{{py:exception}} {cls.__name__}\n\n{' '.join(parts)}\n```"
