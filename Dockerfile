# docker build --build-arg GIT_SHA=$(git rev-parse HEAD) -t modosu:0.1.0 .
FROM rust:1.95-bookworm AS build
# aws-lc needs a C compiler, which the image has
WORKDIR /source
COPY . .
ARG GIT_SHA=
ENV GIT_SHA=${GIT_SHA}
# Static, glibc included. With --target build scripts and macros keep the flag out of themselves.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --bin modosu --target "$(rustc -vV | sed -n 's/^host: //p')" \
 && cp target/*/release/modosu /modosu

# With git and ssh for the step `git`, which wants them: docker build --target git -t modosu:0.1.0-git .
# ssh wants a user with a name
FROM debian:bookworm-slim AS git
ARG GIT_SHA=
LABEL org.opencontainers.image.title="modosu" \
      org.opencontainers.image.description="Watches what was just changed on Kubernetes, and puts it back when it hurts." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${GIT_SHA}"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 65532 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin modosu
COPY --from=build /modosu /modosu
USER 65532:65532
EXPOSE 9191
HEALTHCHECK CMD ["/modosu", "health"]
ENTRYPOINT ["/modosu"]
CMD ["run"]

# Nothing but modosu: the image that is meant where none is named.
# Without roots to trust, no HTTP client can be built, not even for plain http
FROM scratch AS bare
ARG GIT_SHA=
LABEL org.opencontainers.image.title="modosu" \
      org.opencontainers.image.description="Watches what was just changed on Kubernetes, and puts it back when it hurts." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${GIT_SHA}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /modosu /modosu
USER 65532:65532
EXPOSE 9191
# For whoever runs it without a kubelet, which asks /livez and /readyz itself. With settings elsewhere than in the environment it wants MODOSU_CONFIG, too
HEALTHCHECK CMD ["/modosu", "health"]
ENTRYPOINT ["/modosu"]
CMD ["run"]
