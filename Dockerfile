# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt

FROM python:3.11-slim AS service
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 ENVIRONMENT=production PORT=9266
RUN useradd --system --create-home --uid 10001 scheduler
WORKDIR /app
COPY --from=build /venv /venv
COPY --chown=scheduler manage.py gunicorn.conf.py ./
COPY --chown=scheduler scheduler_project scheduler_project
COPY --chown=scheduler jobs jobs
COPY --chown=scheduler ops ops
COPY --chown=scheduler api api
COPY --chown=scheduler monitoring monitoring
COPY --chown=scheduler templates templates
# ENVIRONMENT is for collectstatic only: real values come from the container's environment.
RUN ENVIRONMENT=development python manage.py collectstatic --noinput && mkdir -p var && chown scheduler var
USER scheduler
EXPOSE 9266
HEALTHCHECK --interval=30s --timeout=10s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health\", timeout=8)"]
# The folder holds the web processes' counters, so that a scrape of one covers all.
CMD ["sh", "-c", "export PROMETHEUS_MULTIPROC_DIR=/tmp/web-metrics && rm -rf $PROMETHEUS_MULTIPROC_DIR && mkdir $PROMETHEUS_MULTIPROC_DIR && exec gunicorn scheduler_project.wsgi --bind 0.0.0.0:$PORT --workers 2 --graceful-timeout 30"]

# The main API of docker-compose.yml's profile `sandbox`.
FROM service AS sandbox
COPY --chown=scheduler sandbox sandbox

# `docker build .` builds the service without the sandbox.
FROM service
