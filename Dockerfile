# `make digests` writes the digests of the base images here and in docker-compose.yml.
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS service
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ENVIRONMENT=production PORT=9266
# The only folder of the image that the service may write to: SQLite's, for a volume. It also writes to /tmp.
RUN groupadd --gid 10001 scheduler \
  && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin scheduler \
  && install --directory --owner scheduler --group scheduler /app/var
WORKDIR /app
COPY --from=build /venv /venv
# Root owns the code: a process that is broken into cannot change it.
COPY manage.py gunicorn.conf.py ./
COPY scheduler_project scheduler_project
COPY jobs jobs
COPY ops ops
COPY api api
COPY monitoring monitoring
COPY templates templates
COPY locale locale
# Compiled here because nothing can be written at run time. ENVIRONMENT is for collectstatic only: real values come from
# the container's environment.
RUN ENVIRONMENT=development python manage.py collectstatic --noinput \
  && python -m compileall -q . && chmod -R go-w,a+rX /app
USER 10001:10001
EXPOSE 9266
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health/live\", timeout=8)"]
CMD ["gunicorn", "scheduler_project.wsgi", "--workers", "2"]

# The main API of docker-compose.yml's profile `sandbox`.
FROM service AS sandbox
COPY sandbox sandbox

# `docker build .` builds the service without the sandbox.
FROM service
