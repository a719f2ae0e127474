"""Services as they are written by hand around one model, and two that compute nothing: the floors.

They check no key, count no limit, log nothing and know one model: what a registry does beside predicting is missing.
"""

from __future__ import annotations

import shutil

from benchmarks.contenders.contract import SERVERS, Contender, Way

SINGLE = ("row-1", "row-8", "row-64")


class Fastapi(Contender):
    """The service that FastAPI's documentation would have one write."""

    name = "fastapi"
    venv = "fastapi"
    packages = ("fastapi", "uvicorn", "pydantic")
    ways = (Way("fastapi", "FastAPI, by hand", "async view, pydantic body, uvicorn with uvloop and httptools, 1 process, no access log"),)
    logging: tuple[str, ...] = ("--no-access-log",)

    def command(self) -> list[str]:
        """Return uvicorn's command line."""
        return [
            self.bin("uvicorn"), "--app-dir", str(SERVERS), "--host", "127.0.0.1", "--port", str(self.place.port), "--loop", "uvloop",
            "--http", "httptools", *self.logging, "by_hand_fastapi:app",
        ]  # fmt: skip


class FastapiAsShipped(Fastapi):
    """The same with uvicorn's access log, which is on unless switched off."""

    name = "fastapi-as-shipped"
    ways = (Way("fastapi-as-shipped", "FastAPI, as shipped", "access log on", loads=("row-8",), models=("iris",)),)
    logging = ()


class FlaskOnGranian(Contender):
    """The naive Flask service on Granian."""

    name = "flask-granian"
    venv = "flask"
    packages = ("flask", "granian")
    ways = (Way("flask-granian", "Flask on Granian, naive", "WSGI, 1 worker, else as shipped (no access log)"),)
    workers = 1
    app = "naive_flask:app"

    def command(self) -> list[str]:
        """Return Granian's command line."""
        return [
            self.bin("granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.place.port), "--workers", str(self.workers),  "--working-dir", str(SERVERS), self.app,
        ]  # fmt: skip


class FlaskOnGranianTwice(FlaskOnGranian):
    """The same with a process per core."""

    name = "flask-granian-2"
    ways = (Way("flask-granian-2", "Flask on Granian, naive, 2 workers", "as above with 2 workers, so 2 copies of the model"),)
    workers = 2


class HelloFlask(FlaskOnGranian):
    """A Flask view that returns a constant: what Flask and Granian cost by themselves."""

    name = "hello-flask"
    ways = (
        Way("hello-flask", "Floor: Flask hello-world on Granian", "the row is received and not read", loads=SINGLE, models=("iris",), floor=True),
    )  # fmt: skip
    app = "hello_flask:app"


class FlaskOnGunicorn(Contender):
    """The naive Flask service on gunicorn."""

    name = "flask-gunicorn"
    venv = "flask"
    packages = ("flask", "gunicorn")
    ways = (Way("flask-gunicorn", "Flask on gunicorn, naive", "1 gthread worker of 8 threads, since sync workers close each connection"),)
    kind: tuple[str, ...] = ("--worker-class", "gthread", "--threads", "8")

    def command(self) -> list[str]:
        """Return gunicorn's command line."""
        return [self.bin("gunicorn"), "--bind", f"127.0.0.1:{self.place.port}", "--workers", "1", *self.kind, "--chdir", str(SERVERS), "naive_flask:app"]  # fmt: skip


class FlaskOnGunicornAsShipped(FlaskOnGunicorn):
    """The same with gunicorn's own kind of worker."""

    name = "flask-gunicorn-as-shipped"
    ways = (Way("flask-gunicorn-as-shipped", "Flask on gunicorn, as shipped", "1 sync worker", loads=("row-8",), models=("iris",)),)
    kind = ()


NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; default_type application/json; location / {{ return 200 '{{"prediction": [0]}}'; }} }}
}}
"""


class HelloNginx(Contender):
    """nginx with a constant answer: what this machine's loopback and wrk allow."""

    name = "nginx"
    ways = (Way("nginx", "Floor: nginx, constant answer", "1 worker, no access log", loads=SINGLE, models=("iris",), floor=True),)
    needs = ("nginx",)

    def prepare(self) -> None:
        """Write the configuration."""
        (self.place.folder / "nginx.conf").write_text(NGINX.format(folder=self.place.folder, port=self.place.port))

    def command(self) -> list[str]:
        """Return nginx's command line."""
        return [shutil.which("nginx") or "nginx", "-e", str(self.place.folder / "error.log"), "-c", str(self.place.folder / "nginx.conf")]
