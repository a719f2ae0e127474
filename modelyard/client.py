"""The client: a model's journey from a fitted estimator to a URL, in reading order. Start reading here.

Every call is one request of the REST contract, or a few that can be told from its docstring. What may be sent twice is retried;
publishes and moves carry an Idempotency-Key, so that a retry is never a second one.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat, TypedDict

import httpx

from modelyard import artifact, git
from modelyard.download import fetch
from modelyard.errors import AliasMoved, BodyTooLarge, ConfigurationError, ConnectionFailed, PageNotFound, Problem, TooManyRows, Unavailable
from modelyard.inputs import JSON, NPY, join, plain, read_example, read_npy, read_outputs, read_rows, shifted
from modelyard.operating import PRODUCTION, Operating, alias_path, model_path, moment_text, path_of, split_selector
from modelyard.profiles import read_address
from modelyard.progress import Watched, open_bar
from modelyard.records import Alias, Model, Move, Prediction, RawAnswer, Version
from modelyard.transport import Transport, compact, json_body, read_object

#: An upload is judged after its last byte: the answer may take as long as the longest admission, and a queue before it.
PUBLISH_SECONDS = 300.0
#: An estimator of this size is asked about once more when its size is known, before a byte is sent.
LARGE_BYTES = 8 << 20
#: The most that the service keeps of a version.
MOST_PARAMETERS = 1000
#: So few rows always go in one request.
FEW_ROWS = 100


class About(TypedDict, total=False):
    """What can be told of a version, in one argument; `git` adds the commit of the working folder to `source`."""

    metrics: Mapping[str, SupportsFloat]
    tags: Mapping[str, str]
    parameters: Mapping[str, Any]
    source: Mapping[str, str]
    description: str
    git: bool


class Client(Operating):
    """One service, as the holder of one key sees it. Safe to use from many threads; connections are pooled."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        profile: str | None = None,
        timeout_seconds: float = 60.0,
        retries: int = 4,
        progress: bool | None = None,
    ) -> None:
        """Find address and key; nothing is sent yet. Raises ConfigurationError.

        They come from the arguments, the `profile` of ~/.config/modelyard.toml, MODELYARD_URL and MODELYARD_KEY, or the file's default
        profile; without any, the address is that of a service on this machine. `timeout_seconds` bounds each wait for an answer,
        `retries` counts the further tries of what may be sent twice; before each, up to a minute is waited where the service asks for it.
        `progress` shows bars (None: where somebody looks).
        """
        super().__init__(Transport(read_address(url, key, profile), timeout_seconds, retries))
        self._timeout_seconds = timeout_seconds
        self._progress = progress

    @property
    def url(self) -> str:
        """Return the address of the service."""
        return self._transport.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def __repr__(self) -> str:
        """Return the address, never the key."""
        return f"Client({self.url!r})"

    # --- publish ---------------------------------------------------------------------------------------------------------

    def publish(
        self,
        model: Any,
        name: str,
        *,
        example: Any = None,
        metrics: Mapping[str, SupportsFloat] | None = None,
        tags: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        description: str | None = None,
        source: Mapping[str, str] | str | None = None,
        alias: str | None = None,
        signature: Mapping[str, Any] | None = None,
        flavor: str | None = None,
        runtime: str | None = None,
        accept_skew: bool | None = None,
        batching: bool | None = None,
        about: About | None = None,
        idempotency_key: str | None = None,
    ) -> Version:
        """Publish a fitted estimator, or the file at a path, as the next version of the model `name`.

        `example` is a few rows as the model takes them; columns, types and golden predictions come from it. `source` is a dict, or
        `"git"` for the commit of the working folder. Parameters are the estimator's own plain ones unless given. `about` takes
        metrics, tags and the rest in one argument; what is given by itself comes first. With `alias`, that alias points at the version
        once it is ready.

        What the service would refuse is refused before the upload, as far as it can be told from the estimator. Raises UnsafeArtifact,
        NotAModel, SignatureMismatch, ArtifactTooLarge, Forbidden and other problems; ConfigurationError for what can't be sent;
        ConnectionFailed; publishing again with the `idempotency_key` that its note names never makes a second version.
        """
        told = _told(about, metrics=metrics, tags=tags, parameters=parameters, description=description, source=source)
        if "parameters" not in told and (own := _own_parameters(model)):
            told["parameters"] = own
        served = {"alias": alias, "flavor": flavor, "runtime": runtime, "accept_skew": accept_skew, "batching": batching}
        manifest = compact({**told, **served, "signature": signature, "input_example": None if example is None else read_example(example)})
        facts = artifact.read_facts(model)
        if facts:
            self._require_acceptable(name, manifest, facts)
        with artifact.opened(model, facts) as dumped:
            manifest["sha256"] = dumped.sha256
            if not facts:
                self._require_acceptable(name, manifest, {"size_bytes": dumped.size_bytes})
            elif dumped.size_bytes >= LARGE_BYTES:
                self._require_acceptable(name, {}, {"size_bytes": dumped.size_bytes})  # the rest was judged before it was dumped
            return self._upload(name, dumped, manifest, idempotency_key or _new_idempotency_key())

    def _require_acceptable(self, name: str, manifest: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Let the service refuse what it can refuse without the bytes; one that can't be asked just now, or is too old, will with the upload."""
        with contextlib.suppress(PageNotFound, Unavailable):
            self._transport.send(
                "POST", f"{model_path(name)}/versions/check", repeatable=True, **json_body({"manifest": manifest, **facts})
            )

    def _upload(self, name: str, dumped: artifact.Artifact, manifest: Mapping[str, Any], idempotency_key: str) -> Version:
        path = f"{model_path(name)}/versions"
        with (
            dumped.path.open("rb") as file,
            contextlib.closing(self._bar(f"Uploading {name}", dumped.size_bytes)) as bar,
            _naming_the_key(idempotency_key),
        ):
            answer = self._transport.json(
                "POST", path, repeatable=True, timeout_seconds=max(PUBLISH_SECONDS, self._timeout_seconds),
                headers={"Idempotency-Key": idempotency_key}, files=_parts(dumped.path.name, Watched(file, bar), manifest),
            )  # fmt: skip
        return Version.of(answer)

    # --- predict ---------------------------------------------------------------------------------------------------------

    def predict(
        self, selector: str, inputs: Any, method: str = "predict", *, params: Mapping[str, Any] | None = None, fresh: bool = False
    ) -> Any:
        """Return what a version answers to rows: an array, or a list of arrays where each of several targets has classes of its own.

        `selector` is `churn@production`, `churn/7`, or `churn` for its production. `inputs` are an array (rows, columns), a data frame,
        or lists of rows, records or texts; many rows go in several requests, all to the version that answered the first. `fresh`
        computes instead of looking into the cache. Raises SignatureMismatch with a pointer to each bad value, and other problems.
        """
        answers = self._ask(selector, inputs, method, params, fresh=fresh, accept=f"{NPY}, {JSON}")
        return join([_outputs(answer) for answer in answers])

    def predict_proba(self, selector: str, inputs: Any, *, params: Mapping[str, Any] | None = None, fresh: bool = False) -> Any:
        """Return the probability of each class for each row: `predict` with the method `predict_proba`."""
        return self.predict(selector, inputs, "predict_proba", params=params, fresh=fresh)

    def ask(
        self, selector: str, inputs: Any, method: str = "predict", *, params: Mapping[str, Any] | None = None, fresh: bool = False
    ) -> Prediction:
        """Predict as `predict` does, and also return which version and runtime answered, from the cache or not, and the classes.

        The answer travels as JSON: what is no finite number is missing in it, and whole numbers and floats have NumPy's usual width.
        """
        answers = [read_object(answer) for answer in self._ask(selector, inputs, method, params, fresh=fresh, accept=JSON)]
        first = answers[0]
        return Prediction(
            outputs=join([read_outputs(answer["prediction"], answer.get("classes")) for answer in answers]),
            model=first["model"],
            version=first["version"],
            method=first["method"],
            runtime=first["runtime"],
            cached=all(answer["cached"] for answer in answers),
            classes=first.get("classes"),
            request_ids=tuple(answer["request_id"] for answer in answers),
        )

    def send(
        self,
        selector: str,
        body: bytes,
        content_type: str,
        method: str = "predict",
        *,
        fresh: bool = False,
        accept: str = "application/json",
    ) -> RawAnswer:
        """Send a body as it stands (JSON, CSV with a header row, npy) and return the answer as it comes.

        The method of a JSON body stands in the body, where there is one; of others it is `method`.
        """
        answer = self._predict(path_of(selector), content_type, body, method, fresh=fresh, accept=accept)
        return RawAnswer(
            content=answer.content,
            content_type=answer.headers["Content-Type"],
            version=int(answer.headers["X-Model-Version"]),
            cached=answer.headers["X-Cache"] == "hit",
            request_id=answer.headers["X-Request-Id"],
        )

    def _ask(
        self, selector: str, given: Any, method: str, params: Mapping[str, Any] | None, *, fresh: bool, accept: str
    ) -> list[httpx.Response]:
        """Return the answers to as many requests as the rows need; a service that takes fewer at once gets fewer."""
        rows = read_rows(given)
        path, start = path_of(selector), 0
        answers: list[httpx.Response] = []
        size = rows.count if rows.count <= FEW_ROWS else rows.per_request()
        while start < rows.count or not answers:
            stop = min(rows.count, start + size)
            try:
                answer = self._predict(path, *rows.body(start, stop, method, params), method, fresh=fresh, accept=accept)
            except (BodyTooLarge, TooManyRows):
                if stop - start <= 1:
                    raise
                size = (stop - start) // 2
                continue
            except Problem as problem:
                raise shifted(problem, start) from None
            answers.append(answer)
            path = f"{model_path(split_selector(selector)[0])}/{answer.headers['X-Model-Version']}"
            start = stop
        return answers

    def _predict(self, path: str, content_type: str, body: bytes, method: str, *, fresh: bool, accept: str) -> httpx.Response:
        headers = {"Content-Type": content_type, "Accept": accept} | ({"Cache-Control": "no-cache"} if fresh else {})
        query = {"method": method} if method != "predict" and content_type != JSON else {}
        answer = self._transport.send("POST", path, repeatable=True, headers=headers, params=query, content=body)
        if any(name not in answer.headers for name in ("X-Model-Version", "X-Cache", "X-Request-Id")):
            raise ConnectionFailed(f"What answers at {self.url} isn't Modelyard: it doesn't say which version predicted.")
        return answer

    # --- aliases ---------------------------------------------------------------------------------------------------------

    def point(
        self, name: str, alias: str, version: int, *, reason: str = "", expected: int | None = None, idempotency_key: str | None = None
    ) -> Alias:
        """Point an alias at a version, which is loaded and replayed first; nothing moves if that fails (TargetNotServable).

        With `expected`, only if the alias points at that version now. Raises AliasMoved otherwise.
        """
        body = {"version": int(version), "reason": reason}
        return Alias.of(self._move("PUT", alias_path(name, alias), body, self._if_match(name, alias, expected), idempotency_key))

    def rollback(
        self,
        name: str,
        alias: str = PRODUCTION,
        *,
        to: int | None = None,
        reason: str = "",
        expected: int | None = None,
        idempotency_key: str | None = None,
    ) -> Move:
        """Move an alias back to where it pointed before, or as far as `to`; doing it again goes one further back.

        Raises NothingToRollBackTo, RollbackTargetDeleted, TargetNotServable; in each case nothing moved. After a ConnectionFailed,
        rolling back again with the `idempotency_key` that its note names goes back once.
        """
        body = compact({"to": to, "reason": reason})
        condition = self._if_match(name, alias, expected)
        return Move.of(self._move("POST", f"{alias_path(name, alias)}/rollback", body, condition, idempotency_key))

    def _move(self, method: str, path: str, body: Mapping[str, Any], condition: Mapping[str, str], idempotency_key: str | None) -> Any:
        sent, key = json_body(body), idempotency_key or _new_idempotency_key()
        headers = {**sent["headers"], **condition, "Idempotency-Key": key}
        timeout = max(PUBLISH_SECONDS, self._timeout_seconds)  # the target may have to be loaded
        with _naming_the_key(key):
            return self._transport.json(method, path, repeatable=True, timeout_seconds=timeout, content=sent["content"], headers=headers)

    def _if_match(self, name: str, alias: str, expected: int | None) -> dict[str, str]:
        if expected is None:
            return {}
        found = self.alias(name, alias)
        if found.version != expected:
            told = {
                "title": "The alias isn't where you expected",
                "detail": f"{alias} of {name} points at {found.version}, not at {expected}.",
            }
            raise AliasMoved(412, {"type": f"/problems/{AliasMoved.slug}", "status": 412, **told})
        return {"If-Match": f'"{found.etag}"'}

    def alias(self, name: str, alias: str = PRODUCTION, *, at: datetime | str | None = None) -> Alias:
        """Return where an alias points, or pointed at a time. Raises AliasNotFound."""
        return Alias.of(self._transport.json("GET", alias_path(name, alias), params=compact({"at": moment_text(at)})))

    def aliases(self, name: str) -> list[Alias]:
        """Return a model's aliases."""
        return [Alias.of(item) for item in self._transport.json("GET", f"{model_path(name)}/aliases")["items"]]

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; its history stays."""
        self._transport.send("DELETE", alias_path(name, alias))

    def history(self, name: str, alias: str = PRODUCTION) -> Iterator[Move]:
        """Yield every move of an alias, newest first."""
        return self._listed(f"{alias_path(name, alias)}/history", Move.of)

    # --- models and versions ---------------------------------------------------------------------------------------------

    def models(self, *, search: str | None = None, tag: str | None = None, order: str = "name") -> Iterator[Model]:
        """Yield the models that the key may see; `tag` is `name:value`, `order` name or created_at, with a minus for the reverse."""
        return self._listed("/models", Model.of, search=search, tag=tag, order=order)

    def model(self, name: str) -> Model:
        """Return a model and where its aliases point. Raises ModelNotFound."""
        return Model.of(self._transport.json("GET", model_path(name)))

    def change_model(
        self, name: str, *, description: str | None = None, tags: Mapping[str, str] | None = None, runtime: str | None = None
    ) -> Model:
        """Change a model's description, all of its tags, or the runtime that new versions get."""
        asked = compact({"description": description, "tags": tags, "runtime": runtime})
        return Model.of(self._transport.json("PATCH", model_path(name), **json_body(asked)))

    def delete_model(self, name: str) -> None:
        """Hide a model and its versions, and stop their serving."""
        self._transport.send("DELETE", model_path(name))

    def versions(self, name: str, *, status: str | None = None, tag: str | None = None) -> Iterator[Version]:
        """Yield a model's versions, newest first; `status` is ready or deleted, `tag` is `name:value`."""
        return self._listed(f"{model_path(name)}/versions", Version.of, status=status, tag=tag)

    def version(self, selector: str) -> Version:
        """Return a version. Raises VersionNotFound, AliasNotFound, ModelNotFound."""
        return Version.of(self._transport.json("GET", path_of(selector)))

    def change_version(
        self,
        selector: str,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, SupportsFloat] | None = None,
        runtime: str | None = None,
        accept_skew: bool | None = None,
        batching: bool | None = None,
        cache: str | bool | None = None,
    ) -> Version:
        """Change the words about a version, or how it is served; `cache` is "auto", True or False."""
        words = {"description": description, "tags": tags, "metrics": None if metrics is None else _numbers(metrics)}
        asked = {**words, "runtime": runtime, "accept_skew": accept_skew, "batching": batching, "cache": cache}
        return Version.of(self._transport.json("PATCH", path_of(selector), **json_body(compact(asked))))

    def delete_version(self, selector: str) -> Version:
        """Hide a version and stop its serving. Raises VersionInUse while an alias points at it."""
        return Version.of(self._transport.json("DELETE", path_of(selector)))

    def restore_version(self, name: str, number: int) -> Version:
        """Bring a deleted version back."""
        return Version.of(self._transport.json("POST", f"{model_path(name)}/{number}/restore", repeatable=True))

    def download(self, selector: str, path: str | Path) -> Path:
        """Write a version's artifact to a file, or into a folder under a name of its own, and return where it stands.

        Goes on where it broke, in this call and in a later one, and checks the digest before the file gets its name. Raises
        DownloadDamaged, ConnectionFailed, ConfigurationError where it can't be written.
        """
        version = self.version(selector)
        return fetch(self._transport, version, Path(path), lambda: self._bar(f"Downloading {version.selector}", version.size_bytes))

    def _bar(self, label: str, size_bytes: int) -> Any:
        return open_bar(label, size_bytes, wanted=self._progress)


def _outputs(answer: httpx.Response) -> Any:
    if answer.headers["Content-Type"].startswith(NPY):
        return read_npy(answer.content)
    body = read_object(answer)
    return read_outputs(body["prediction"], body.get("classes"))


def _parts(file_name: str, file: Any, manifest: Mapping[str, Any]) -> list[tuple[str, tuple[str | None, Any, str]]]:
    """Return the upload's two parts. The manifest comes first, so that a service may look at it before the bytes."""
    return [
        ("manifest", (None, json_body(manifest)["content"], "application/json")),
        ("artifact", (file_name, file, "application/octet-stream")),
    ]


def _told(about: About | None, **given: Any) -> dict[str, Any]:
    """Return what is told of a version: `about`, and what was given by itself, which comes first."""
    told: dict[str, Any] = dict(about or {})
    from_git = told.pop("git", False)
    told |= compact(given)
    if told.get("source") == "git":
        told["source"], from_git = {}, True
    if "metrics" in told:
        told["metrics"] = _numbers(told["metrics"])
    if from_git:
        told["source"] = {**git.read_source(), **told.get("source", {})}
    return {name: plain(value) for name, value in told.items()}


def _own_parameters(model: Any) -> dict[str, Any]:
    """Return an estimator's parameters as far as they are plain values."""
    for deep in (True, False):
        try:
            parameters = _plain_ones(model.get_params(deep=deep))
        except Exception:  # noqa: BLE001 - a class, a path, or an estimator's own code; none of them keeps it from being published
            return {}
        if len(parameters) <= MOST_PARAMETERS:
            return parameters
    return {}


def _plain_ones(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in sorted(parameters.items())
        if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and abs(value) < float("inf"))
    }


def _numbers(metrics: Mapping[str, SupportsFloat]) -> Any:
    """Return metrics as floats, whatever kind of number they are. Raises ConfigurationError for what is none."""
    try:
        return plain({name: float(value) for name, value in metrics.items()})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"A metric isn't a number: {error}.") from None


@contextlib.contextmanager
def _naming_the_key(idempotency_key: str) -> Iterator[None]:
    """Note on an error that leaves open whether the request was carried out how to ask again without doing it twice."""
    try:
        yield
    except (ConnectionFailed, Problem) as error:
        if isinstance(error, ConnectionFailed) or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            error.add_note(f"Asking again with idempotency_key={idempotency_key!r} never does it twice.")
        raise


def _new_idempotency_key() -> str:
    return str(uuid.uuid4())
