# The images, for those who have a container engine; `cargo xtask images` makes them without one (docs/images.md).
#
#   docker build --target larnax --tag larnax/larnax:0.1.0 .
#   docker build --target larnax-edge --tag larnax/larnax-edge:0.1.0 .
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
# A target that is named is not what build scripts and macros are built for, which can't be static.
RUN export RUSTFLAGS="-Ctarget-feature=+crt-static -Cstrip=symbols" TARGET="$(rustc --print host-tuple)" && \
    cargo build --release --locked --target "$TARGET" --package larnax --features kubernetes,zones && \
    cargo build --release --locked --target "$TARGET" --package larnax-edge --features zones && \
    mkdir --parents /image/etc /image/tmp /image/var/lib/larnax && \
    echo "larnax:x:65532:65532::/var/lib/larnax:/" > /image/etc/passwd && \
    mv target/"$TARGET"/release/larnax target/"$TARGET"/release/larnax-edge /image

FROM scratch AS base
COPY --from=build /image/etc /etc
COPY --from=build --chown=65532:65532 /image/tmp /tmp
COPY --from=build --chown=65532:65532 /image/var/lib/larnax /var/lib/larnax
ENV LARNAX_STATE=/var/lib/larnax
USER 65532:65532

FROM base AS larnax-edge
COPY --from=build /image/larnax-edge /larnax-edge
ENTRYPOINT ["/larnax-edge"]

FROM base AS larnax
COPY --from=build /image/larnax /larnax
ENTRYPOINT ["/larnax"]
