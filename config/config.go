package config

import (
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"
)

// Config is everything that an operator has set, checked.
type Config struct {
	Connections []Connection // at least one, in the order given

	DNSListen    []netip.AddrPort
	DNSUpstreams []netip.AddrPort // nil: the nameservers of /etc/resolv.conf
	DNSTTL       time.Duration
	DNSCacheSize int // replies; 0: none

	ConnectTimeout time.Duration
	KeepAlive      time.Duration
	Linger         time.Duration
	IdleTimeout    time.Duration // 0: never
	DrainTimeout   time.Duration
	MaxConnections int
	// WarmConnections are kept ready per namespace; 0: none.
	WarmConnections int

	AdminListen []netip.AddrPort // nil: none
	AdminPprof  bool

	LogLevel  slog.Level
	LogFormat string         // "text", "json" or "auto"
	RootCAs   *x509.CertPool // the system's and those of HYCO_CA_FILE; nil: the system's alone
}

// Connection says that an endpoint is reached through a hybrid connection.
type Connection struct {
	Variable string     // the variable that named the endpoint, for messages
	Host     string     // lower case, no trailing dot
	Port     uint16     // 1 to 65535
	Address  netip.Addr // what stands for Host; equal for equal hosts

	Namespace string // host[:port] of the relay
	Entity    string // name of the hybrid connection
	KeyName   string // rule of Key; empty with Signature or without any credential
	Key       Secret
	Signature Secret // a ready-made token instead of a key
}
