# The service as an image: hash-locked, non-root, read-only, without a compiler or an index inside.
#
#   docker build -t ticket-classifier .                       the service (default)
#   docker build -t ticket-classifier:simulator --target simulator .
#   docker build -t ticket-classifier:loadtest  --target loadtest .
#
# buildah and podman take the same file; give them `--target service`, and `--format docker` if the
# HEALTHCHECK shall stay (the OCI format has none). Sizes and how it is tested: docs/operations.md.

# A tag, so that a rebuild takes up security fixes. For builds that must be the same bit for bit give
# a digest: --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

# ---------------------------------------------------------------------------------- what is installed
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 \
    SOURCE_DATE_EPOCH=1700000000
WORKDIR /src
# Packages of the lock that the image does without. Litestar asks for these two, but loads them only to
# invent examples for an API page that is not ours (DECISIONS 12). `bpe-openai` may join them: 78 MB
# less image, 136 MB less memory, and every path then needs `static_tokens` (DECISIONS 13).
ARG WITHOUT="faker polyfactory"
COPY k8s/image/lock_part.py requirements.lock requirements-dev.lock ./
# Two environments: one that builds the wheel (hatchling, from the lock like everything else), and the
# one that is shipped, without pip.
RUN --mount=type=cache,target=/root/.cache/pip \
    python lock_part.py requirements-dev.lock --only hatchling > build.lock \
 && python lock_part.py requirements.lock --without ${WITHOUT} > service.lock \
 && python -m venv --without-pip /opt/build \
 && python -m venv --without-pip /opt/classifier \
 && python -m pip --python /opt/build/bin/python install --no-compile --require-hashes -r build.lock \
 && python -m pip --python /opt/classifier/bin/python install --no-compile --no-deps --require-hashes \
    -r service.lock
COPY pyproject.toml README.md LICENSE ./
COPY classifier ./classifier
# Byte code is made here, since nobody can write it later; checked by content, not by time, so that the
# same sources give the same layer.
RUN python -m pip --python /opt/build/bin/python wheel --no-build-isolation --no-deps -w dist . \
 && python -m pip --python /opt/classifier/bin/python install --no-compile --no-index --no-deps dist/*.whl \
 && rm -rf dist \
 && /opt/classifier/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/classifier/lib

# ------------------------------------------------------------------------------- what all images share
FROM ${PYTHON_IMAGE} AS base
# TLS to a model uses the system's certificates (openai 3): a base image without them fails here and
# not in production. No shell is needed, here or later.
RUN ["python", "-c", "import ssl; assert ssl.create_default_context().cert_store_stats()['x509_ca'] > 50, 'the base image has no ca-certificates'"]
ENV PATH=/opt/classifier/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/classifier
# Only what the caller says: a time of build would make every image differ.
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ticket-classifier" \
      org.opencontainers.image.description="Routes support tickets to the cheapest model path that answers well" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# For CLASSIFIER_DATA_DIR: a new named volume mounted here takes over its owner.
RUN install -d -o 10001 -g 10001 -m 0700 /data
# A number, so that `runAsNonRoot` can be checked; it needs no entry in /etc/passwd and owns /data only.
USER 10001:10001

# ----------------------------------------------------------------------------------------- the service
FROM base AS service
COPY --from=build /opt/classifier /opt/classifier
# All addresses, and therefore with keys: without CLASSIFIER_API_KEYS (or ..._FILE) it does not start.
ENV CLASSIFIER_HOST=0.0.0.0 \
    CLASSIFIER_AUTH=bearer
EXPOSE 8000
# For docker and compose; Kubernetes asks /healthz itself. urllib would obey a proxy variable.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-c", \
    "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('CLASSIFIER_PORT', 8000)), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["classifier"]
CMD ["serve"]

# ----------------------------------------------------------- the simulated models, for demos and tests
FROM build AS build-simulator
RUN --mount=type=cache,target=/root/.cache/pip \
    python lock_part.py requirements-dev.lock --only bpe-openai scikit-learn > simulator.lock \
 && python -m pip --python /opt/classifier/bin/python install --no-compile --require-hashes -r simulator.lock

FROM base AS simulator
COPY --from=build-simulator /opt/classifier /opt/classifier
COPY classifier/shipped/phrases.jsonl classifier/shipped/tickets.jsonl /opt/lessons/
EXPOSE 8100
ENTRYPOINT ["classifier"]
CMD ["simulate", "--host", "0.0.0.0", \
     "--knowledge", "/opt/lessons/phrases.jsonl", "--train", "/opt/lessons/tickets.jsonl"]

# ----------------------------------------------------------------------------- Locust, for load tests
FROM build AS build-loadtest
RUN --mount=type=cache,target=/root/.cache/pip \
    python lock_part.py requirements-dev.lock --only locust > loadtest.lock \
 && python -m pip --python /opt/classifier/bin/python install --no-compile --require-hashes -r loadtest.lock

FROM base AS loadtest
COPY --from=build-loadtest /opt/classifier /opt/classifier
WORKDIR /opt/loadtest
COPY loadtests ./loadtests
COPY classifier/shipped/tickets.jsonl ./
# Nothing is written but to /tmp: a tmpfs in compose.yaml, an emptyDir in k8s/.
ENV HOME=/tmp \
    LOAD_DATA=/opt/loadtest/tickets.jsonl \
    LOAD_OUT=/tmp/load
EXPOSE 5557 8089
ENTRYPOINT ["locust", "-f", "loadtests/locustfile.py"]

# --------------------------------------------------------------------- the default is what stands last
FROM service
