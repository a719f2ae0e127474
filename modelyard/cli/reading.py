"""`modelyard list` and `modelyard show`: what is there, for people a table or a card.

They only read. What the key may not see isn't there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from modelyard.cli.asked import json_option, limit_option
from modelyard.cli.connecting import complete_model, complete_selector, with_client
from modelyard.cli.printing import print_document, shown_moment, shown_pairs, shown_size
from modelyard.cli.tables import print_card, print_list
from modelyard.client import Client
from modelyard.records import Model, Version

ORDERS = ("name", "-name", "created_at", "-created_at")
SHOWN_DIGITS = 12


@click.command(name="list")
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("--search", help="Only models whose name or description holds this text.")
@click.option("--tag", help="Only what has this tag, as name:value.")
@click.option("--order", type=click.Choice(ORDERS), default="name", help="Order of the models.", show_default=True)
@click.option("--status", type=click.Choice(["ready", "deleted"]), help="Only versions that are so.")
@limit_option
@json_option
@with_client
def list_(
    client: Client, model: str | None, search: str | None, tag: str | None, order: str, status: str | None, limit: int, *, as_json: bool
) -> None:
    """List models, or a model's versions.

    MODEL lists its versions, newest first. With --json an array of them, as the service shows each.

    Example: modelyard list churn --status ready --limit 5
    """
    if model is None:
        if status is not None:
            raise click.UsageError("--status is for the versions of a model; name one.")
        rows = _model_rows(client.models(search=search, tag=tag, order=order))
        print_list(rows, as_json=as_json, limit=limit, nothing="There are no models that your key may see.")
        return
    if search is not None:
        raise click.UsageError("--search is for models; leave MODEL out.")
    versions = _version_rows(client.versions(model, status=status, tag=tag))
    print_list(versions, as_json=as_json, limit=limit, nothing=f"There are no such versions of {model}.")


@click.command()
@click.argument("what", shell_complete=complete_selector)
@json_option
@with_client
def show(client: Client, what: str, *, as_json: bool) -> None:
    """Show a model, or a version.

    WHAT is a model's name, such as churn, or names a version of it, such as churn/7, churn@production or churn@latest.

    Example: modelyard show churn@production
    """
    found = client.version(what) if "/" in what or "@" in what else client.model(what)
    if as_json:
        print_document(found.raw)
    else:
        print_card(_model_card(found) if isinstance(found, Model) else version_card(found))


def version_card(version: Version) -> Iterator[tuple[str, Any]]:
    """Yield what people want to know of a version."""
    yield "version", version.selector
    yield "status", version.status if version.deleted_at is None else f"deleted {shown_moment(version.deleted_at)}"
    yield "description", version.description
    yield "aliases", ", ".join(f"@{alias}" for alias in version.aliases)
    yield "estimator", f"{version.estimator} ({version.flavor})"
    yield "methods", ", ".join(version.methods)
    yield "inputs", [_column(column) for column in version.signature.get("inputs") or ()]
    yield "outputs", [f"{name}: {_output(output)}" for name, output in (version.signature.get("outputs") or {}).items()]
    yield "metrics", [f"{name} = {value:g}" for name, value in version.metrics.items()]
    yield "tags", [f"{name} = {value}" for name, value in version.tags.items()]
    yield "parameters", [f"{name} = {value}" for name, value in version.parameters.items()]
    yield "source", [f"{name} = {value}" for name, value in version.source.items()]
    yield "runtime", version.runtime + (f" (fast: {version.fast})" if version.fast else "")
    yield "pinned", "yes" if version.pinned else ""
    yield "load error", version.raw.get("load_error")
    yield "environment", shown_pairs({name: text for name, text in version.environment.items() if isinstance(text, str)})
    yield "artifact", f"{shown_size(version.size_bytes)}, sha256 {version.sha256}"
    yield "published", f"{shown_moment(version.created_at)} by {version.created_by}"


def _model_card(model: Model) -> Iterator[tuple[str, Any]]:
    yield "model", model.name
    yield "description", model.description
    yield "aliases", [f"@{alias} -> {number}" for alias, number in model.aliases.items()]
    yield "versions", f"{model.version_count}, the latest is {model.latest_version}" if model.latest_version else f"{model.version_count}"
    yield "tags", [f"{name} = {value}" for name, value in model.tags.items()]
    yield "runtime", model.runtime
    yield "made", f"{shown_moment(model.created_at)} by {model.created_by}"


def _model_rows(models: Iterator[Model]) -> Iterator[dict[str, Any]]:
    for model in models:
        yield {
            "name": model.name,
            "versions": model.version_count,
            "latest": model.latest_version,
            "aliases": ", ".join(f"@{alias}={number}" for alias, number in model.aliases.items()),
            "tags": shown_pairs(model.tags),
            "made": shown_moment(model.created_at),
            "description": model.description,
            "raw": model.raw,
        }


def _version_rows(versions: Iterator[Version]) -> Iterator[dict[str, Any]]:
    for version in versions:
        yield {
            "version": version.version,
            "status": version.status,
            "aliases": ", ".join(f"@{alias}" for alias in version.aliases),
            "metrics": ", ".join(f"{name}={value:g}" for name, value in version.metrics.items()),
            "published": shown_moment(version.created_at),
            "estimator": version.estimator.rpartition(".")[2],
            "size": shown_size(version.size_bytes),
            "tags": shown_pairs(version.tags),
            "description": version.description,
            "sha256": version.sha256[:SHOWN_DIGITS],
            "raw": version.raw,
        }


def _column(column: dict[str, Any]) -> str:
    return f"{column.get('name')}: {column.get('type')}" + (", may be missing" if column.get("missing") else "")


def _output(output: Any) -> str:
    if not isinstance(output, dict):
        return str(output)
    columns = output.get("columns")
    return f"{output.get('type')}" + (f" ({', '.join(map(str, columns))})" if columns else "")
