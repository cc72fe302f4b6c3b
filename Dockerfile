# hadolint global ignore=DL3042
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock requirements-dev.lock ./
RUN python3 -m venv /opt/consent-service \
 && /opt/consent-service/bin/pip install --quiet --require-hashes -r requirements.lock \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --require-hashes -r requirements-dev.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY src src
COPY migrations migrations
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /build/dist . \
 && /opt/consent-service/bin/pip install --quiet --no-deps /build/dist/*.whl

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 consent \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin consent \
 && install -d -o consent -g consent -m 0700 /data
COPY --from=build /opt/consent-service /opt/consent-service
ENV PATH=/opt/consent-service/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CONSENT_DATA_DIR=/data
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["consent-service", "probe"]
ENTRYPOINT ["consent-service"]
CMD ["serve", "--host", "0.0.0.0"]
