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

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /hyco-sidecar /hyco-sidecar
USER 65532:65532
ENTRYPOINT ["/hyco-sidecar"]
