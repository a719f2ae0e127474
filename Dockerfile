# syntax=docker/dockerfile:1
# The server's image: the packages of requirements.lock and this repository's code, nothing else; run by an unprivileged
# user, and fit for a read-only root: all that it writes lies below /var/lib/modelyard and /tmp.
#
# For builds that must not move, pin the base by digest:
#   docker buildx imagetools inspect python:3.11-slim --format '{{.Manifest.Digest}}'
#   docker build --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:... .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
# The environment holds no pip: the base image's own installs into it.
RUN python -m venv --without-pip /opt/modelyard
COPY requirements.lock ./
COPY requirements/fast.lock requirements/lz4.lock requirements/onnx.lock requirements/skops.lock requirements/
# Formats beside joblib's, and the runtime `fast`: docker build --build-arg EXTRAS="skops onnx lz4 fast" .
ARG EXTRAS=""
RUN --mount=type=cache,target=/var/cache/pip \
    export PIP_CACHE_DIR=/var/cache/pip \
    && python -m pip --python /opt/modelyard/bin/python install --require-hashes -r requirements.lock \
    && for extra in ${EXTRAS}; do \
        python -m pip --python /opt/modelyard/bin/python install --require-hashes -r "requirements/${extra}.lock" || exit 1; \
    done
COPY pyproject.toml LICENSE config.py ./
COPY modelyard modelyard
COPY registry registry
COPY migrations migrations
COPY deploy/make_secrets.py deploy/make_secrets.py
COPY deploy/server/pyproject.toml deploy/server/pyproject.toml
COPY examples/demo.py examples/demo.py
# In place, as in a checkout: the code finds migrations/ beside registry/. Compiled now, since the running tree is read-only.
RUN python -m pip --python /opt/modelyard/bin/python install --no-cache-dir --no-deps --no-build-isolation --editable . --editable deploy/server \
    && /opt/modelyard/bin/python -m compileall -q .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Modelyard" \
      org.opencontainers.image.description="A model registry and prediction server in one plain service" \
      org.opencontainers.image.licenses="Apache-2.0"
# New volumes take the owner of the folder that they are mounted on.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin modelyard \
    && install --directory --owner modelyard --group modelyard --mode 0700 /var/lib/modelyard \
    && install --directory --owner modelyard --group modelyard --mode 0755 /var/lib/modelyard-secrets /var/lib/modelyard-database-secret
COPY --from=build /opt/modelyard /opt/modelyard
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/modelyard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MODELYARD_HOST=0.0.0.0 \
    MODELYARD_INSTANCE_PATH=/var/lib/modelyard
USER 10001:10001
VOLUME /var/lib/modelyard
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('MODELYARD_PORT') or 8000}/health/ready\", timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["modelyard"]
CMD ["serve"]
