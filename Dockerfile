# memdiag's image: one binary and the libraries it is linked with.
#
#   docker build -t memdiag:dev --build-arg VERSION="$(git describe --tags --always --dirty)" .
#   docker buildx build --platform linux/amd64,linux/arm64 --push -t REGISTRY/memdiag:TAG ...   one name for both architectures
#   docker run --rm --user 0 --privileged --pid=host -v /sys/fs/cgroup:/host/sys/fs/cgroup:ro -v /run:/host/run:ro \
#     memdiag:dev run                                                      diagnose this host
#
# BASE may be another Debian 12 image, such as a mirror or a digest; the package names below are those of Debian 12.
ARG BASE=debian:12-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
WORKDIR /src
# The packages first: they change less often than the sources, so that the layer is reused.
COPY hack/install-deps.sh hack/
RUN hack/install-deps.sh build && rm -rf /var/lib/apt/lists/*
COPY . .
# .git is not in the build context, so the version has to be told.
ARG VERSION=unknown
RUN make build VERSION="${VERSION}" \
    && make install VERSION="${VERSION}" DESTDIR=/out \
    && strip --strip-debug /out/usr/local/bin/memdiag

# hadolint ignore=DL3006
FROM ${BASE}
# Versions are not pinned: a rebuild is how security updates arrive.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libbpf1 libcjson1 libcurl4 libelf1 libmicrohttpd12 libmnl0 libprotobuf-c1 libyaml-0-2 tzdata zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY LICENSE /usr/share/doc/memdiag/LICENSE
COPY --from=build /out/usr/local/bin/memdiag /usr/local/bin/memdiag

ARG VERSION=unknown
LABEL org.opencontainers.image.title="memdiag" \
      org.opencontainers.image.description="Kubernetes-native memory diagnosis" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

# The controller needs no more than this. The agent is user 0 with a few capabilities: its DaemonSet says so.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/memdiag"]
