"""Settings: read by type, refused all at once, and never quoted where they are secret."""

from __future__ import annotations

import dataclasses
import os
import typing
import warnings
from pathlib import Path

import pytest

from config import Bytes, Config, ConfigError, ConfigWarning, forget_settings, variable_name

SECRET = "hunter2-hunter2"
SHARED = {"MODELYARD_DATABASE_URL": "postgresql://db/m", "MODELYARD_KEY_PEPPER": "pepper", "MODELYARD_CACHE_SECRET": "signs"}


def problems_of(environ: dict[str, str]) -> list[str]:
    """Return the lines with which these settings are refused."""
    with pytest.raises(ConfigError) as refused:
        Config.from_environ(environ)
    return refused.value.problems


def test_an_empty_environment_gives_the_defaults() -> None:
    """Nothing has to be set for a first start."""
    assert Config.from_environ({}) == Config()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "9000", 9000),
        ("host", "0.0.0.0", "0.0.0.0"),
        ("instance_path", "/srv/yard", Path("/srv/yard")),
        ("artifacts_path", "/mnt/artifacts", Path("/mnt/artifacts")),
        ("drain_seconds", "2.5", 2.5),
        ("drain_seconds", "3", 3.0),
        ("cache", "off", False),
        ("cache", "Yes", True),
        ("max_artifact_bytes", "512MiB", 512 * 2**20),
        ("max_artifact_bytes", "2 G", 2 * 2**30),
        ("max_artifact_bytes", "4096", 4096),
        ("extra_names", "mypackage:Winsorizer, my_package.deep.er:_Own2,", ("mypackage:Winsorizer", "my_package.deep.er:_Own2")),
        ("cors_origins", "https://a.example, https://b.example,", ("https://a.example", "https://b.example")),
        ("key_pepper", "12345", "12345"),
        ("key_pepper", "true", "true"),
        ("log_level", "debug", "debug"),
    ],
)
def test_a_setting_is_cast_by_the_type_of_its_field(name: str, text: str, value: object) -> None:
    """A secret of digits stays text, and a size may have a unit."""
    config = Config.from_environ({variable_name(name): text})
    assert getattr(config, name) == value
    assert type(getattr(config, name)) in {type(value), Bytes, type(Path())}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("port", "http", "whole number"),
        ("port", "-1", "whole number"),
        ("port", "٣٣٣", "whole number"),
        ("port", "0", "at least 1"),
        ("port", "65536", "at most 65535"),
        ("drain_seconds", "nan", "a number such as"),
        ("drain_seconds", "inf", "a number such as"),
        ("cache", "maybe", "true or false"),
        ("max_artifact_bytes", "2TB", "a size such as"),
        ("max_artifact_bytes", "0", "at least 1"),
        ("sandbox", "no", "one of on, off"),
        ("extra_names", ",".join(f"mypackage:Class{number}" for number in range(65)), "at most 64 names"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, text: str, said: str) -> None:
    """The line names the variable, what would fit and what was given."""
    (problem,) = problems_of({variable_name(name): text})
    assert problem.startswith(f"{variable_name(name)}: ")
    assert said in problem
    assert repr(text) in problem


@pytest.mark.parametrize(
    "name",
    [
        "mypackage",
        "mypackage.Winsorizer",
        "mypackage:",
        ":Winsorizer",
        "mypackage:Outer.Inner",
        "mypackage:a:b",
        "mypackage..deep:Winsorizer",
        ".mypackage:Winsorizer",
        "mypackage.*:Winsorizer",
        "my-package:Winsorizer",
        "my package:Winsorizer",
        "1package:Winsorizer",
        "mypackage:Winsörizer",
        "mypackage:Winsorizer()",
        "mypackage\n:Winsorizer",
        f"mypackage:{'W' * 200}",
    ],
)
def test_an_extra_name_must_be_a_module_and_a_class(name: str) -> None:
    """Exact and plain, whatever else stands beside it; the line names the bad one."""
    (problem,) = problems_of({"MODELYARD_EXTRA_NAMES": f"mypackage:Good,{name}"})
    assert problem.startswith(f"MODELYARD_EXTRA_NAMES: {name!r} must be a class as package.module:Class")


def test_an_extra_name_that_is_given_twice_is_refused() -> None:
    """One of them was probably meant to be another."""
    (problem,) = problems_of({"MODELYARD_EXTRA_NAMES": "mypackage:Good,mypackage:Other,mypackage:Good"})
    assert "'mypackage:Good' stands there twice" in problem


def test_all_problems_are_told_at_once() -> None:
    """Nobody has to start the server three times to learn of three mistakes."""
    problems = problems_of({"MODELYARD_PORT": "x", "MODELYARD_CACHE": "x", "MODELYARD_MAX_ROWS": "0"})
    assert [line.partition(":")[0] for line in problems] == ["MODELYARD_PORT", "MODELYARD_MAX_ROWS", "MODELYARD_CACHE"]


def test_an_unknown_variable_is_warned_about_with_the_nearest_name() -> None:
    """A typing mistake is not silently a default."""
    with pytest.warns(ConfigWarning, match="MODELYARD_PROT is not a setting.*did you mean MODELYARD_PORT"):
        Config.from_environ({"MODELYARD_PROT": "9000"})


def test_a_variable_like_no_setting_is_warned_about_without_a_guess() -> None:
    """No hint is better than a far-fetched one."""
    with pytest.warns(ConfigWarning, match="is ignored$"):
        Config.from_environ({"MODELYARD_QQQQQQQQQQ": "1"})


@pytest.mark.parametrize("name", ["MODELYARD_URL", "MODELYARD_KEY", "PATH", "MODELYARD_SERVICE_HOST", "MODELYARD_PORT_8000_TCP_ADDR"])
def test_variables_of_the_client_and_of_kubernetes_are_no_mistakes(name: str) -> None:
    """What others set for reasons of their own causes no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Config.from_environ({name: "x"}) == Config()


def test_the_port_that_kubernetes_injects_is_ignored_with_a_warning() -> None:
    """A Kubernetes service called modelyard sets MODELYARD_PORT to an address."""
    with pytest.warns(ConfigWarning, match="Kubernetes"):
        config = Config.from_environ({"MODELYARD_PORT": "tcp://10.0.0.1:8000"})
    assert config.port == Config().port


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    """The trailing newline that editors add is no part of it."""
    file = tmp_path / "pepper"
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    assert Config.from_environ({"MODELYARD_KEY_PEPPER_FILE": str(file)}).key_pepper == SECRET


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    """Which one counts would be a guess."""
    file = tmp_path / "pepper"
    file.write_text(SECRET, encoding="utf-8")
    (problem,) = problems_of({"MODELYARD_KEY_PEPPER": SECRET, "MODELYARD_KEY_PEPPER_FILE": str(file)})
    assert "not both" in problem
    assert SECRET not in problem


def test_a_secret_file_that_is_missing_is_a_problem_and_not_an_empty_secret(tmp_path: Path) -> None:
    """An empty pepper would hash every key without a secret."""
    (problem,) = problems_of({"MODELYARD_KEY_PEPPER_FILE": str(tmp_path / "nowhere")})
    assert problem == "MODELYARD_KEY_PEPPER_FILE: can't be read: No such file or directory"


def test_only_secrets_can_come_from_files() -> None:
    """A `_FILE` beside an ordinary setting is a mistake worth a warning."""
    with pytest.warns(ConfigWarning, match="MODELYARD_PORT_FILE|MODELYARD_HOST_FILE"):
        Config.from_environ({"MODELYARD_HOST_FILE": "/etc/hostname"})


@pytest.mark.parametrize("missing", ["MODELYARD_KEY_PEPPER", "MODELYARD_CACHE_SECRET"])
def test_hosts_that_share_a_database_must_be_given_their_secrets(missing: str) -> None:
    """Secrets that each host makes up for itself would not match."""
    (problem,) = problems_of({name: value for name, value in SHARED.items() if name != missing})
    assert problem.startswith(f"{missing}: must be given")


def test_a_shared_database_with_its_secrets_is_accepted() -> None:
    """The database is then no longer the embedded one."""
    config = Config.from_environ(SHARED)
    assert not config.embedded_database
    assert config.embedded_redis


def test_no_message_ever_quotes_a_secret() -> None:
    """Refusals and warnings go to logs that more people read than the settings."""
    secrets = [item.name for item in dataclasses.fields(Config) if item.metadata["secret"]]
    assert {"key_pepper", "cache_secret", "database_url", "redis_url"} <= set(secrets)
    environ = {variable_name(name): SECRET for name in secrets} | {"MODELYARD_PORT": "x", "MODELYARD_KEY_PEPER": SECRET}
    with pytest.warns(ConfigWarning) as warned:
        problems = problems_of(environ)
    assert SECRET not in "".join(problems) + "".join(str(warning.message) for warning in warned)


def test_the_folders_of_an_instance_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are started in other folders and must find the same ones."""
    monkeypatch.chdir(tmp_path)
    config = Config.from_environ({"MODELYARD_INSTANCE_PATH": "here"})
    assert config.artifacts_folder == tmp_path / "here" / "artifacts"
    assert config.run_folder == tmp_path / "here" / "run"
    assert Config(artifacts_path=Path("/mnt/a")).artifacts_folder == Path("/mnt/a")


def test_a_configuration_cannot_be_changed() -> None:
    """What was validated is what is used."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]


def test_every_setting_has_a_type_that_can_be_read_and_a_meaning_of_one_line() -> None:
    """The README's table is made of these."""
    kinds = {str, bool, int, float, Bytes, Path, Path | None, tuple[str, ...]}
    for item in dataclasses.fields(Config):
        assert typing.get_type_hints(Config)[item.name] in kinds
        assert item.metadata["meaning"].endswith(".")
        assert "\n" not in item.metadata["meaning"]


def test_settings_can_be_forgotten_once_they_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, and nothing else."""
    monkeypatch.setenv("MODELYARD_KEY_PEPPER", "secret")
    monkeypatch.setenv("MODELYARD_UNKNOWN", "1")
    monkeypatch.setenv("OTHER", "stays")
    forget_settings()
    assert [name for name in os.environ if name.startswith("MODELYARD_")] == []
    assert os.environ["OTHER"] == "stays"
