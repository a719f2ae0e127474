"""Each command of the command line, through a process of its own against a real service."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import stat
import subprocess
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from modelyard.cli.exits import Exit
from tests.running import RunningService
from tests.shell import Shell, without_colours

KEY = re.compile(r"my_([0-9A-Za-z]{12})_[0-9A-Za-z]+")
HOSTILE = "\x1b]0;owned\x07\x1b[31m[bold]loud[/bold]\u202e\x9b1mname"
DATA = load_iris(as_frame=True)
FRAME: pd.DataFrame = DATA.data
ESTIMATOR = LogisticRegression(max_iter=500).fit(FRAME, DATA.target_names[DATA.target])


@pytest.fixture(scope="module")
def shell(shared_service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Give a shell with an admin's key, and files of a model and of rows in its folder."""
    folder = tmp_path_factory.mktemp("shell")
    joblib.dump(ESTIMATOR, folder / "model.joblib")
    FRAME.to_csv(folder / "rows.csv", index=False)
    FRAME.to_parquet(folder / "rows.parquet")
    np.save(folder / "rows.npy", FRAME.to_numpy())
    return Shell(folder, {"MODELYARD_URL": shared_service.url, "MODELYARD_KEY": shared_service.admin_key})


@pytest.fixture(scope="module")
def model(shared_service: RunningService) -> str:
    """Give a model with three versions, of which production has pointed at each in turn."""
    told = {"input_example": FRAME.head(3).to_dict("list"), "alias": "production", "metrics": {"auc": 0.5}}
    for _ in range(3):
        shared_service.publish("shell-flowers", ESTIMATOR, told)
    return "shell-flowers"


@pytest.fixture(scope="module")
def predicted() -> list[str]:
    """Give what the estimator answers by itself."""
    return [str(label) for label in ESTIMATOR.predict(FRAME)]


def test_a_file_is_published_with_all_that_is_told_of_it(shell: Shell) -> None:
    """By options and by a manifest, of which the options come first; the other way to say it is a sentence for people."""
    FRAME.head(3).to_csv(shell.folder / "example.csv", index=False)
    manifest = {"tags": {"team": "risk", "stage": "trial"}, "description": "of the manifest", "metrics": {"auc": 0.1}}
    (shell.folder / "manifest.json").write_text(json.dumps(manifest))
    subprocess.run(["git", "init", "-q"], cwd=shell.folder, check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "first"], cwd=shell.folder, check=True)
    version = shell.ask(
        "publish", "model.joblib", "shell-told", "--example", "example.csv", "--metric", "auc=0.91", "--tag", "stage=live", "--git",
        "--parameter", "depth=8", "--parameter", "solver=lbfgs", "--source", "run=42", "--alias", "live", "--manifest", "manifest.json",
        "--no-batching", "--accept-skew", "--runtime", "exact",
    )  # fmt: skip
    assert version["version"] == 1
    assert version["aliases"] == ["live"]
    assert version["tags"] == {"team": "risk", "stage": "live"}
    assert version["metrics"] == {"auc": 0.91}
    assert version["parameters"] == {"depth": 8, "solver": "lbfgs"}
    assert version["source"].keys() >= {"run", "commit", "dirty"}
    assert version["description"] == "of the manifest"
    assert (version["batching"], version["accept_skew"], version["runtime"]) == (False, True, "exact")
    assert [column["name"] for column in version["signature"]["inputs"]] == list(FRAME.columns)
    assert shell.succeed("publish", "model.joblib", "shell-told").startswith("Published shell-told/2: sklearn.linear_model.")


def test_what_the_service_refuses_to_publish_is_told_as_it_says_it(shell: Shell) -> None:
    """With its title, its detail and the request id; exit code 7. What can't be sent at all is a wrong call."""
    (shell.folder / "text.joblib").write_text("no model")
    code, told = shell.fail("publish", "text.joblib", "shell-refused")
    assert code == Exit.REFUSED
    assert "(415)" in told
    assert "request " in told
    (shell.folder / "typo.json").write_text('{"descripton": "x"}')
    code, told = shell.fail("publish", "model.joblib", "shell-refused", "--manifest", "typo.json")
    assert (code, "descripton" in told) == (Exit.USAGE, True)


def test_models_and_versions_are_listed_and_shown(shell: Shell, model: str) -> None:
    """As arrays and documents for programs, and plainly in a pipe, with a word where there is more."""
    (listed,) = [found for found in shell.ask("list", "--search", model) if found["name"] == model]
    assert listed == shell.ask("show", model)
    assert [version["version"] for version in shell.ask("list", model)] == [3, 2, 1]
    done = shell.run("list", model, "--limit", "2")
    header, *lines = done.stdout.splitlines()
    assert header.split()[:3] == ["VERSION", "STATUS", "ALIASES"]
    assert [line.split()[:2] for line in lines] == [["3", "ready"], ["2", "ready"]]
    assert done.stderr == "There are more than 2; --limit 0 prints all.\n"
    card = shell.succeed("show", f"{model}@production")
    assert re.search(rf"^version +{model}/3$", card, re.MULTILINE)
    assert re.search(r"^metrics +auc = 0.5$", card, re.MULTILINE)


def test_rows_of_every_format_are_predicted_alike(shell: Shell, model: str, predicted: list[str]) -> None:
    """CSV, JSON, npy and Parquet, from a file and from a pipe, are what the estimator says of the same rows."""
    assert shell.succeed("predict", model, "rows.csv").splitlines() == ["prediction", *predicted]
    shell.succeed("predict", f"{model}/2", "rows.parquet", "--output", "answer.csv")
    assert (shell.folder / "answer.csv").read_text().splitlines()[1:] == predicted
    piped = shell.succeed("predict", f"{model}@latest", "-", "--json", stdin=(shell.folder / "rows.npy").read_bytes())
    assert (json.loads(piped)["prediction"], json.loads(piped)["version"]) == (predicted, 3)
    body = {"instances": FRAME.head(4).to_dict("records"), "method": "predict_proba"}
    rows = list(csv.DictReader(io.StringIO(shell.succeed("predict", model, stdin=json.dumps(body)))))
    expected = ESTIMATOR.predict_proba(FRAME.head(4))
    assert [[float(cell) for cell in row.values()] for row in rows] == expected.tolist()
    assert list(rows[0]) == list(ESTIMATOR.classes_)


def test_probabilities_become_an_array_in_a_file(shell: Shell, model: str) -> None:
    """By the suffix of --output, bit for bit; no half of it is left where that fails."""
    shell.succeed("predict", model, "rows.npy", "--method", "predict_proba", "--output", "answer.npy")
    assert np.array_equal(np.load(shell.folder / "answer.npy"), ESTIMATOR.predict_proba(FRAME))
    code, told = shell.fail("predict", model, "rows.npy", "--output", "labels.npy")
    assert (code, "one array of numbers" in told) == (Exit.USAGE, True)
    assert not list(shell.folder.glob("*labels*"))


def test_bad_rows_are_named_by_their_place_in_the_file(shell: Shell, model: str) -> None:
    """However many requests the rows take; with --json the problem document stands on standard error."""
    lines = (shell.folder / "rows.csv").read_text().splitlines()
    many = [lines[0], *(lines[1:] * 500)]
    many[60_001] = "5.1,abc,1.4,0.2"
    code, told = shell.fail("predict", model, stdin="\n".join(many) + "\n")
    assert code == Exit.REFUSED
    assert '#/data/60000/1 (column sepal width (cm)): expected a number, got "abc"' in told
    code, told = shell.fail("predict", model, "--json", stdin="\n".join(lines[:2]) + "\n1,2\n")
    problem = json.loads(told)
    assert (code, problem["status"], problem["errors"][0]["pointer"]) == (Exit.REFUSED, 422, "#/data/1")


def test_an_alias_is_pointed_rolled_back_and_its_moves_are_listed(shell: Shell, model: str) -> None:
    """Without a question; going back where there is nothing, or expecting another version, is a conflict that moves nothing."""
    assert shell.succeed("point", model, "shadow", "1", "--reason", "first") == f"{model}@shadow points at 1.\n"
    assert shell.ask("point", model, "shadow", "2", "--expected", "1")["version"] == 2
    code, told = shell.fail("point", model, "shadow", "3", "--expected", "1")
    assert (code, "points at 2, not at 1" in told) == (Exit.CONFLICT, True)
    assert shell.succeed("rollback", model, "--alias", "shadow", "--reason", "worse") == f"{model}@shadow went back from 2 to 1.\n"
    code, told = shell.fail("rollback", model, "--alias", "shadow", "--json")
    assert (code, json.loads(told)["type"].rpartition("/")[2]) == (Exit.CONFLICT, "nothing-to-roll-back-to")
    moves = shell.ask("history", model, "--alias", "shadow")
    assert [(move["from"], move["to"], move["reason"]) for move in moves] == [(2, 1, "worse"), (1, 2, ""), (None, 1, "first")]


def test_a_rollback_goes_as_far_as_it_is_told(shell: Shell, model: str) -> None:
    """Production by default; the history has the reason."""
    assert shell.ask("rollback", model, "--to", "1", "--reason", "since noon")["to"] == 1
    assert "since noon" in shell.succeed("history", model).splitlines()[1]


def test_versions_are_loaded_unloaded_and_pinned(shell: Shell, model: str) -> None:
    """A pinned one stays; what is loaded is shown."""
    assert shell.ask("load", f"{model}/2") == {"selector": f"{model}/2", "loaded": True}
    assert shell.succeed("pin", f"{model}/2") == f"{model}/2 is pinned.\n"
    code, told = shell.fail("unload", f"{model}/2")
    assert (code, "modelyard unpin" in told) == (Exit.CONFLICT, True)
    (row,) = [row for row in shell.ask("serving")["loaded"] if (row["model"], row["version"]) == (model, 2)]
    assert row["pinned"] is True
    assert re.search(rf"^{model} +2 +ready +exact .*yes$", shell.succeed("serving"), re.MULTILINE)
    shell.succeed("unpin", f"{model}/2")
    assert shell.ask("unload", f"{model}/2") == {"selector": f"{model}/2", "loaded": False, "was_loaded": True}


def test_a_version_is_downloaded_whole(shell: Shell, model: str) -> None:
    """Into a file or a folder; the path is what is printed, and the bytes are those that were published."""
    path = shell.succeed("download", f"{model}/1").strip()
    assert joblib.load(shell.folder / path).classes_.tolist() == ESTIMATOR.classes_.tolist()
    told = shell.ask("download", f"{model}@latest", "latest.joblib")
    latest = (shell.folder / "latest.joblib").resolve()
    assert told == {"path": str(latest), "size_bytes": latest.stat().st_size}


def test_events_are_listed_and_followed_until_ctrl_c(shell: Shell, shared_service: RunningService, model: str) -> None:
    """Filtered by model, kind and time; followed, each is a line as it happens; Ctrl-C ends it with 130 and no traceback."""
    found = shell.ask("events", "--model", model, "--kind", "version.published", "--since", "1h")
    assert [event["version"] for event in found] == [3, 2, 1]
    assert shell.run("events", "--since", "soon").returncode == Exit.USAGE
    following = shell.start("events", "--follow", "--json", "--limit", "1")
    assert following.stdout is not None
    json.loads(following.stdout.readline())
    with shared_service.client() as client:
        client.put(f"/models/{model}/aliases/followed", json={"version": 1})
    assert json.loads(following.stdout.readline())["alias"] == "followed"
    following.send_signal(signal.SIGINT)
    assert (following.communicate(timeout=20)[1].strip(), following.returncode) == (b"", Exit.INTERRUPTED)


def test_a_pipe_that_is_closed_ends_a_command_without_a_word(shell: Shell, model: str) -> None:
    """As `| head` does; the exit code is that of SIGPIPE."""
    script = f"set -o pipefail; {' '.join(shell.command(['predict', model, 'rows.csv']))} | true"
    done = subprocess.run(
        ["bash", "-c", script], cwd=shell.folder, env=shell.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (Exit.CLOSED_PIPE, "")


def test_keys_are_looked_after_over_rest(shell: Shell, model: str) -> None:
    """Once a service is named, with the same words as on the server: made, listed, shown, rotated and revoked."""
    text = shell.succeed("keys", "create", "reader", "--scope", "read", "--model", "shell-*", "--limit", "50/minute", "--days", "2").strip()
    key_id = KEY.fullmatch(text)[1]  # type: ignore[index]
    listed = shell.succeed("keys", "list")
    assert text not in listed
    assert re.search(rf"^{key_id} +reader +read +shell-\* +50/minute +ends \d", listed, re.MULTILINE)
    rotated = shell.ask("keys", "rotate", key_id)
    assert shell.run("show", model, MODELYARD_KEY=rotated["key"]).returncode == Exit.WELL
    code, told = shell.fail("predict", model, "rows.csv", MODELYARD_KEY=rotated["key"])
    assert (code, "modelyard keys create" in told) == (Exit.NOT_ALLOWED, True)
    assert shell.succeed("keys", "revoke", rotated["id"]) == f"Revoked {rotated['id']}.\n"
    assert shell.ask("keys", "show", rotated["id"])["revoked_at"] is not None
    assert shell.fail("keys", "show", "nosuchkey123")[0] == Exit.NOT_FOUND
    assert shell.fail("list", MODELYARD_KEY=text)[0] == Exit.NOT_ALLOWED


def test_login_keeps_a_key_that_was_tried_in_a_file_of_its_owner(shell: Shell, shared_service: RunningService, tmp_path: Path) -> None:
    """The key comes from standard input or a prompt that doesn't show it; a wrong one is kept nowhere, and a profile says where to call."""
    alone = Shell(tmp_path)
    assert alone.fail("list")[0] == Exit.USAGE
    assert alone.fail("login", shared_service.url, stdin="my_wrong\n")[0] == Exit.NOT_ALLOWED
    file = tmp_path / "config" / "modelyard.toml"
    assert not file.exists()
    alone.succeed("login", shared_service.url, stdin=shared_service.admin_key + "\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    code, shown = alone.on_terminal("--profile", "two", "login", shared_service.url, typed=shared_service.admin_key + "\n")
    assert (code, "kept as profile two" in shown) == (0, True)
    assert shared_service.admin_key not in shown
    assert file.read_text().startswith(before)
    assert isinstance(alone.ask("--profile", "two", "list"), list)


def test_a_service_that_is_not_there_says_so_and_try_later(shell: Shell) -> None:
    """Exit code 3, with what to look at; the document has the same words."""
    code, told = shell.fail("--url", "http://127.0.0.1:9", "list", "--json")
    assert code == Exit.LATER
    assert "127.0.0.1:9 can't be reached" in json.loads(told)["detail"]


def test_a_shell_completes_commands_models_and_aliases(shell: Shell, model: str) -> None:
    """The script is the shell's own; what it asks is answered by the service, and with silence where that can't be."""
    script = shell.succeed("completion", "bash")
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    asked = {"_MODELYARD_COMPLETE": "zsh_complete", "COMP_CWORD": "2"}
    assert model in shell.succeed(COMP_WORDS="modelyard show shell-f", **asked).splitlines()
    assert f"{model}@production" in shell.succeed(COMP_WORDS=f"modelyard show {model}@p", **asked).splitlines()
    asked_third = {**asked, "COMP_CWORD": "3"}
    assert "production" in shell.succeed(COMP_WORDS=f"modelyard point {model} p", **asked_third).splitlines()
    assert shell.succeed(COMP_WORDS="modelyard show x", MODELYARD_KEY="", **asked).strip() == ""


@pytest.fixture(scope="module")
def hostile(shared_service: RunningService) -> str:
    """Give a model whose words would take over a terminal that believes them."""
    shared_service.publish("shell-hostile", ESTIMATOR, {"description": HOSTILE, "tags": {"[red]team": HOSTILE}})
    return "shell-hostile"


def test_words_of_others_reach_no_terminal_as_controls_or_markup(shell: Shell, hostile: str) -> None:
    """They are written out, on a terminal and in a pipe; only the table's own bold is a control, and not even that under NO_COLOR."""
    code, shown = shell.on_terminal("show", f"{hostile}/1")
    told = without_colours(shown)
    assert code == 0
    assert r" \x1b]0;owned\x07\x1b[31m[bold]loud[/bold]\u202e\x9b1mname" in told
    assert [character for character in told if not character.isprintable() and character != "\n"] == []
    plain = shell.succeed("show", f"{hostile}/1", FORCE_COLOR="1")
    assert "\x1b" not in plain
    assert r"[red]team = \x1b]0;owned" in plain
    assert shell.ask("show", f"{hostile}/1")["description"] == HOSTILE


def test_a_table_fits_the_terminal_and_shows_no_colour_where_none_is_wanted(shell: Shell, model: str) -> None:
    """What has no room is named; nothing of it wraps into the next line."""
    code, shown = shell.on_terminal("list", model, columns=60, NO_COLOR="1")
    assert code == 0
    assert "\x1b" not in shown
    *table, left_out = shown.strip().splitlines()
    assert max(map(len, table)) <= 60
    assert [line.split()[0] for line in table[2:]] == ["3", "2", "1"]
    assert left_out.startswith("No room for ")


def test_a_large_upload_shows_how_far_it_is_on_a_terminal_alone(shell: Shell, shared_service: RunningService) -> None:
    """The bar goes to standard error, and is gone when it is over."""
    large = LogisticRegression()
    classes, columns = 100, 7_000
    large.classes_, large.intercept_, large.n_features_in_ = np.arange(classes), np.zeros(classes), columns
    large.coef_ = np.random.default_rng(0).normal(size=(classes, columns))
    joblib.dump(large, shell.folder / "large.joblib")
    code, shown = shell.on_terminal("publish", "large.joblib", "shell-large")
    assert code == 0, shown
    assert re.search(r"Uploading shell-large: +\d+%", shown), shown


def test_a_wrong_call_is_exit_code_2_and_says_what_is_near(shell: Shell) -> None:
    """Nothing is sent."""
    code, told = shell.fail("rolback", "x")
    assert (code, "did you mean 'rollback'?" in told) == (Exit.USAGE, True)
