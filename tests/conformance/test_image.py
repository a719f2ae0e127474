"""The image's own steps, run without a container engine: the base, the locked packages, the code, an unprivileged user.

The tree is laid out as the Dockerfile lays it out, from the instructions that stand there, read-only and owned by
somebody else. What only a real engine can show (layers, the kernel's own limits) is not claimed here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LinearRegression

from tests.clean_environment import lay_package, lay_packages
from tests.running import dumped

ROOT = Path(__file__).resolve().parents[2]
IMAGE_UID = 10001
START_SECONDS = 60
LEFT_OUT_OF_THE_BASE = (
    "site-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "config-*",
    "__pycache__",
    "*.a",
)
SECONDS_TO_DRAIN = 30


@dataclass(frozen=True)
class Image:
    """A file tree laid out as the image's: `python`, the application's folder, and what may be written."""

    python: Path
    app: Path
    instance: Path
    temporary: Path
    environment: dict[str, str]

    def command(self, *words: str) -> list[str]:
        """Return the entry point with its words. The script's first line would name another Python, so it is called as a module is."""
        return [str(self.python), "-c", "import sys; from modelyard.cli.main import main; sys.argv[0] = 'modelyard'; main()", *words]

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start the entry point as the image's user (if we are root: nobody else may change to another)."""
        identity: dict[str, int] = {"user": IMAGE_UID, "group": IMAGE_UID} if os.getuid() == 0 else {}
        return subprocess.Popen(
            self.command(*words),
            cwd=self.app,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            **({**identity, "extra_groups": []} if identity else {}),
        )


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with what follows them, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def lay_base(prefix: Path) -> Path:
    """Copy the Python that runs this test, as the base image brings one, and return its program."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    (prefix / "bin").mkdir(parents=True)
    # A Python with a shared library looks for it where it was built, which the image's user may not read: point it beside itself.
    old, new = f"{base / 'lib'}\0".encode(), b"$ORIGIN/../lib\0"
    program = Path(sys._base_executable).resolve().read_bytes()  # type: ignore[attr-defined]
    if len(new) <= len(old):
        program = program.replace(old, new.ljust(len(old), b"\0"))
    (prefix / "bin" / version).write_bytes(program)
    (prefix / "bin" / version).chmod(0o755)
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library,
        prefix / "lib" / version,
        ignore=shutil.ignore_patterns(*LEFT_OUT_OF_THE_BASE),
        symlinks=False,
        ignore_dangling_symlinks=True,
    )
    for shared in base.glob("lib/libpython3*.so*"):
        shutil.copy2(shared, prefix / "lib" / shared.name)
    return prefix / "bin" / version


def lay_code(app: Path) -> None:
    """Copy what the Dockerfile's COPY instructions copy."""
    for name, value in instructions():
        if name != "COPY" or "--from" in value:
            continue
        *sources, target = value.split()
        for source in sources:
            to = app / source if target == "./" else app / target
            to.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / source, to)


def settings_of_the_image(instance: Path) -> dict[str, str]:
    """Return the MODELYARD_ variables that the Dockerfile sets, with the instance folder moved to where the test may write."""
    pairs = [part.split("=", 1) for name, value in instructions() if name == "ENV" for part in value.split()]
    settings = {name: value for name, value in pairs if name.startswith("MODELYARD_")}
    assert settings == {"MODELYARD_HOST": "0.0.0.0", "MODELYARD_INSTANCE_PATH": "/var/lib/modelyard"}
    return settings | {"MODELYARD_INSTANCE_PATH": str(instance)}


def make_read_only(folder: Path) -> None:
    """Take every right to write from a tree; let anybody read it."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Lay out the image's file tree below a folder that any user can reach."""
    top = Path(tempfile.mkdtemp(prefix="image-", dir="/tmp"))
    top.chmod(0o755)
    tree, instance, temporary = top / "root", top / "instance", top / "tmp"
    try:
        python = lay_base(tree / "usr")
        packages = tree / "usr/lib" / python.name / "site-packages"
        lay_packages(ROOT / "requirements.lock", packages)
        lay_code(tree / "app")
        for project in ("modelyard", "modelyard-server"):
            lay_package(project, packages, only_metadata=True)
        (packages / "modelyard.pth").write_text(f"{tree / 'app'}\n", encoding="utf-8")  # what the editable install leaves
        make_read_only(tree)
        for folder in (instance, temporary):
            folder.mkdir(mode=0o700)
            if os.getuid() == 0:
                os.chown(folder, IMAGE_UID, IMAGE_UID)
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(temporary),
        }
        yield Image(python, tree / "app", instance, temporary, environment | settings_of_the_image(instance))
    finally:
        for path in [tree, *tree.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(top)


def test_the_entry_point_runs_as_an_unprivileged_user_with_the_locked_packages_alone(image: Image) -> None:
    """Whatever the server imports is in the lock file."""
    process = image.start("--help")
    output, _ = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0, output
    assert "serve" in output


def test_the_service_runs_on_a_read_only_tree_and_writes_only_where_it_may(image: Image) -> None:
    """Ready, a model published and called inside the walls, a clean end: nothing is written elsewhere, and no process is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = sorted(image.app.parent.rglob("*"))
    process = image.start("serve", MODELYARD_PORT=str(port), MODELYARD_WEB_PROCESSES="1")
    try:
        assert wait_until_ready(process, port) == 200
        key = (image.instance / "admin.key").read_text(encoding="ascii").strip()
        model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        published = send(f"http://127.0.0.1:{port}/models/line/versions", key, "application/octet-stream", dumped(model))
        assert published["version"] == 1
        predicted = send(f"http://127.0.0.1:{port}/models/line/1", key, "application/json", b'{"data": [[3.0]]}')
        assert predicted["prediction"] == model.predict([[3.0]]).tolist()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            output, _ = process.communicate(timeout=SECONDS_TO_DRAIN)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    assert sorted(image.app.parent.rglob("*")) == before
    assert (image.instance / "admin.key").stat().st_mode & 0o777 == 0o600
    assert "Traceback" not in output
    assert still_running(image) == []


def wait_until_ready(process: subprocess.Popen[str], port: int) -> int:
    """Ask what the image's health check asks until the answer is good; return its status."""
    deadline = time.monotonic() + START_SECONDS
    said = "nothing"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"it ended with {process.returncode}: {process.communicate()[0][-4000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=4) as answer:
                json.load(answer)
                return int(answer.status)
        except OSError as error:
            said = str(error)
        time.sleep(0.25)
    process.terminate()
    pytest.fail(f"not ready in {START_SECONDS} s ({said}): {process.communicate(timeout=SECONDS_TO_DRAIN)[0][-4000:]}")


def send(url: str, key: str, content_type: str, body: bytes) -> dict[str, Any]:
    """POST a body and return the JSON answer."""
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {key}", "Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
        answered: dict[str, Any] = json.load(answer)
    return answered


def still_running(image: Image) -> list[str]:
    """Return the command lines of processes that run the image's Python."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "exe").resolve() == image.python:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_the_health_check_of_the_image_is_one_that_its_python_can_run(image: Image) -> None:
    """It fails where nothing answers, with nothing but the standard library."""
    check = next(value for name, value in instructions() if name == "HEALTHCHECK")
    command = json.loads(check[check.index("CMD") + 3 :])
    assert command[:2] == ["python", "-c"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        environment = {"MODELYARD_PORT": str(probe.getsockname()[1]), "PATH": "/usr/bin:/bin"}
        result = subprocess.run([image.python, "-I", *command[1:]], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "Connection refused" in result.stderr
