# The serving image: no torch, no compiler, no root. The first stage makes a virtual environment, the second takes it.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY nlp nlp
COPY models models
COPY training training
COPY service service
RUN python -m venv /opt/musannif \
    && /opt/musannif/bin/pip install --no-cache-dir -c constraints.txt '.[postgres,redis]'

FROM python:3.12-slim
COPY --from=build /opt/musannif /opt/musannif
RUN useradd --system --uid 10001 --no-create-home musannif \
    && install -d -o musannif -g musannif -m 700 /var/lib/musannif
ENV PATH=/opt/musannif/bin:$PATH \
    MUSANNIF_DATABASE=/var/lib/musannif/musannif.sqlite \
    MUSANNIF_LOG_FORMAT=json \
    PYTHONUNBUFFERED=1
USER musannif
VOLUME /var/lib/musannif
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["musannif"]
CMD ["serve"]
