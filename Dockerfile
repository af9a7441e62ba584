# rtb: one image for all roles; which one is the command.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/rtb
WORKDIR /src
COPY constraints.txt setup.cfg pyproject.toml README.md LICENSE ./
COPY rtb rtb
COPY twisted twisted
# twistd keeps a cache of its plugins beside them, where the user of the image cannot write: it is
# made here. Its dates survive the copy below.
RUN /opt/rtb/bin/pip install --constraint constraints.txt . \
    && /opt/rtb/bin/twistd --help >/dev/null

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 rtb \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rtb
COPY --from=build /opt/rtb /opt/rtb
ENV PATH=/opt/rtb/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
# Right for the API; a leader or an agent asks for "broker" instead (docker-compose.yml).
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-m", "rtb.ops.probe", "api"]
ENTRYPOINT ["twistd", "-n", "--pidfile="]
CMD ["rtb-api"]
