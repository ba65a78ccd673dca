# A static binary and the certificate authorities, nothing else. It needs no
# writable file system and no capability; ports below 1024 need the sysctl
# net.ipv4.ip_unprivileged_port_start=0, which Docker sets by itself.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags=-s -o /hyco-sidecar ./cmd/hyco-sidecar

FROM build AS build-devrelay
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags=-s -o /hyco-devrelay ./cmd/hyco-devrelay && mkdir /relay

# For development: deploy/compose. Its health check needs a shell, and a new volume
# at /relay takes the folder's owner over, who keeps CA and keys there.
FROM busybox AS hyco-devrelay
COPY --from=build-devrelay /hyco-devrelay /hyco-devrelay
COPY --from=build-devrelay --chown=65532:65532 /relay /relay
USER 65532:65532
ENTRYPOINT ["/hyco-devrelay"]

# The last stage is what a build without --target makes.
FROM scratch AS hyco-sidecar
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /hyco-sidecar /hyco-sidecar
USER 65532:65532
HEALTHCHECK --interval=10s CMD ["/hyco-sidecar", "healthcheck"]
ENTRYPOINT ["/hyco-sidecar"]
