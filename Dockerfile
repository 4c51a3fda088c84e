# topicgen as an image. `docker build -t topicgen .` makes the small one for the CPU, whose command serves `mini`;
# `docker build -t topicgen:cuda --target cuda .` the one for training and for Llama 3 on an NVIDIA GPU.
#
# One tag for all stages. A digest after it (python:...@sha256:...) fixes its bytes; this prints the present one:
# docker buildx imagetools inspect python:3.13.16-slim-trixie --format '{{.Manifest.Digest}}'
ARG BASE=python:3.13.16-slim-trixie

FROM ${BASE} AS build
RUN python -m venv /opt/topicgen
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src/topicgen/version.py src/topicgen/

# The libraries first: they stay cached as long as pyproject.toml and constraints.txt do.
FROM build AS build-cpu
RUN /opt/topicgen/bin/pip install --no-cache-dir -c constraints.txt ".[serve]"
COPY src src
RUN /opt/topicgen/bin/pip install --no-cache-dir --no-deps --force-reinstall . \
    && /opt/topicgen/bin/pip uninstall --yes pip

FROM build AS build-cuda
RUN /opt/topicgen/bin/pip install --no-cache-dir -c constraints.txt ".[serve,train,evaluate]"
COPY src src
RUN /opt/topicgen/bin/pip install --no-cache-dir --no-deps --force-reinstall . \
    && /opt/topicgen/bin/pip uninstall --yes pip

FROM ${BASE} AS runtime
RUN useradd --create-home --uid 10001 topicgen \
    && install --directory --owner topicgen --group topicgen /models /data
ENV PATH=/opt/topicgen/bin:$PATH \
    XDG_CACHE_HOME=/models/cache \
    PYTHONUNBUFFERED=1
WORKDIR /data
USER topicgen
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --start-interval=2s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/healthz', headers={'Authorization': 'Bearer ' + os.environ['TOPICGEN_TOKEN']}); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["topicgen"]
CMD ["serve", "--host", "0.0.0.0"]

FROM runtime AS cuda
USER root
# Triton compiles its launchers with a C compiler when training starts.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
USER topicgen
COPY --from=build-cuda /opt/topicgen /opt/topicgen
# PyTorch brings CUDA; the NVIDIA Container Toolkit brings the driver's libraries.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    MPLCONFIGDIR=/models/cache/matplotlib \
    TORCHINDUCTOR_CACHE_DIR=/models/cache/inductor \
    TRITON_CACHE_DIR=/models/cache/triton

# The last stage is what a build without --target makes.
FROM runtime AS cpu
COPY --from=build-cpu /opt/topicgen /opt/topicgen
