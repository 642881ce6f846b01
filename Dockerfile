# Base images are named by tag. For builds that can be repeated bit by bit, name them by digest as well:
# --build-arg RUST=docker.io/library/rust:1.95-bookworm@sha256:… --build-arg BASE=gcr.io/distroless/cc-debian12:nonroot@sha256:…
ARG RUST=docker.io/library/rust:1.95-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST} AS builder
WORKDIR /src
COPY . .
# rust-toolchain.toml is left out of the context, so the image's own compiler builds, and nothing is downloaded for it.
RUN cargo build --release --locked --bin ses-operator

# The C library, the root certificates and a user of no rights; no shell, no package manager.
FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ses-operator" \
      org.opencontainers.image.description="Keeps Amazon SES domain identities passing SPF, DKIM and DMARC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /src/target/release/ses-operator /usr/local/bin/ses-operator
COPY LICENSE /usr/share/doc/ses-operator/LICENSE
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/ses-operator"]
CMD ["run"]
