package config

import (
	"crypto/x509"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Load reads the settings in environ, which has the form of [os.Environ]. Its error
// reports every fault on a line of its own; [Faults] returns them.
func Load(environ []string) (Config, error) { return LoadFrom(environ, ReadFile) }

// LoadFrom is [Load] with files read by readFile.
func LoadFrom(environ []string, readFile func(path string) (string, error)) (Config, error) {
	read := make(map[string]Secret)
	l := loader{readFile: func(path string) (string, error) {
		text, err := readFile(path)
		read[path] = NewSecret(text)
		return text, err
	}}
	l.env = readEnvironment(environ, l.readFile, &l.faults)
	if err := env.ParseWithOptions(&l.set, env.Options{Environment: l.env.values}); err != nil {
		return Config{}, fmt.Errorf("config: %w", err) // all fields are strings, so only a wrong tag in settings can fail
	}
	c := Config{
		DNSListen:       l.addrPorts("HYCO_DNS_LISTEN", l.set.DNSListen, dnsPort),
		DNSTTL:          l.duration("HYCO_DNS_TTL", l.set.DNSTTL, time.Second, 24*time.Hour),
		DNSCacheSize:    l.count("HYCO_DNS_CACHE_SIZE", l.set.DNSCacheSize, 0, 1<<20),
		ConnectTimeout:  l.duration("HYCO_CONNECT_TIMEOUT", l.set.ConnectTimeout, time.Second, time.Hour),
		KeepAlive:       l.duration("HYCO_KEEPALIVE", l.set.KeepAlive, time.Second, time.Hour),
		Linger:          l.duration("HYCO_LINGER", l.set.Linger, time.Second, 24*time.Hour),
		IdleTimeout:     l.duration("HYCO_IDLE_TIMEOUT", l.set.IdleTimeout, 0, 7*24*time.Hour),
		DrainTimeout:    l.duration("HYCO_DRAIN_TIMEOUT", l.set.DrainTimeout, time.Millisecond, 24*time.Hour),
		MaxConnections:  l.count("HYCO_MAX_CONNECTIONS", l.set.MaxConnections, 1, 1<<20),
		WarmConnections: l.count("HYCO_WARM_CONNECTIONS", l.set.WarmConnections, 0, 64),
		AdminListen:     l.adminListen(),
		Capture:         Capture(l.choice("HYCO_CAPTURE", l.set.Capture, string(Off), string(Redirect))),
		CapturePort:     uint16(l.count("HYCO_CAPTURE_PORT", l.set.CapturePort, 1, 65535)),
		AdminPprof:      l.choice("HYCO_ADMIN_PPROF", l.set.AdminPprof, "true", "false") == "true",
		LogLevel:        l.level("HYCO_LOG_LEVEL", l.set.LogLevel),
		LogFormat:       l.choice("HYCO_LOG_FORMAT", l.set.LogFormat, "auto", "text", "json"),
		RootCAs:         l.roots("HYCO_CA_FILE", l.set.CAFile),
	}
	if l.set.DNSUpstreams != "" {
		c.DNSUpstreams = l.addrPorts("HYCO_DNS_UPSTREAMS", l.set.DNSUpstreams, dnsPort)
	}
	l.refuseOwnUpstreams(c)
	l.proxy(environ)
	l.capture, l.auth = c.Capture, l.choice("HYCO_AUTH", l.set.Auth, authConnectionString, authEntra)
	c.Connections, c.standIns = l.connections()
	if slices.ContainsFunc(c.Connections, func(c Connection) bool { return c.Credential.Entra || c.Secondary.Entra }) {
		c.Entra = l.entra(environ)
	}
	c.SecretFiles, c.read = l.env.files, read
	if err := l.faults.ErrorOrNil(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// loader parses the text of settings and collects faults. Its methods named after a
// type, such as duration, return a usable value even where they report a fault.
type loader struct {
	readFile func(path string) (string, error)

	env     environment
	set     settings
	capture Capture // decides whether IP addresses may be endpoints
	auth    string  // HYCO_AUTH
	faults  faults
}

func (l *loader) duration(name, value string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		remedy := "write for example 30s, 5m or 1h30m"
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			remedy = "add the unit, for example " + value + "s"
		}
		l.faults.add(name, remedy, "%s is not a duration", show(value))
	case d < least || d > most:
		l.faults.add(name, fmt.Sprintf("write %v to %v", least, most), "%s is out of range", show(value))
	}
	return d
}

func (l *loader) count(name, value string, least, most int) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		l.faults.add(name, fmt.Sprintf("write a number from %d to %d", least, most), "%s does not fit", show(value))
	}
	return n
}

func (l *loader) choice(name, value string, allowed ...string) string {
	lower := strings.ToLower(value)
	if !slices.Contains(allowed, lower) {
		l.faults.add(name, "write "+strings.Join(allowed[:len(allowed)-1], ", ")+" or "+allowed[len(allowed)-1], "%s is not allowed", show(value))
	}
	return lower
}

func (l *loader) level(name, value string) slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	return levels[l.choice(name, value, "debug", "info", "warn", "error")]
}

// The ports of addresses that are written without one.
const (
	dnsPort   = 53
	adminPort = 8477
)

// AdminListen reads HYCO_ADMIN_LISTEN alone, for commands that only talk to the
// running sidecar. Nil means that the sidecar has no admin server.
func AdminListen(environ []string) ([]netip.AddrPort, error) {
	const name = "HYCO_ADMIN_LISTEN"
	given := make(map[string]string)
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok && strings.TrimSpace(value) != "" {
			given[name] = strings.TrimSpace(value)
		}
	}
	var l loader
	if err := env.ParseWithOptions(&l.set, env.Options{Environment: given}); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return l.adminListen(), l.faults.ErrorOrNil()
}

func (l *loader) adminListen() []netip.AddrPort {
	if strings.EqualFold(l.set.AdminListen, "off") {
		return nil
	}
	return l.addrPorts("HYCO_ADMIN_LISTEN", l.set.AdminListen, adminPort)
}

// addrPorts reads a list of ip or ip:port; port is used where there is none.
func (l *loader) addrPorts(name, value string, port uint16) []netip.AddrPort {
	all := []netip.AddrPort{}
	if strings.Trim(value, separators) == "" {
		l.faults.add(name, "write ip or ip:port, or remove it", "%s has no entry", show(value))
	}
	for item := range list(value) {
		addrPort, err := netip.ParseAddrPort(item)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(strings.Trim(item, "[]")); err == nil {
				addrPort = netip.AddrPortFrom(addr, port)
			}
		}
		switch {
		case err != nil:
			l.faults.add(name, fmt.Sprintf("write ip or ip:port, for example 10.0.0.10:%d", port), "%s is not an address", show(item))
		case addrPort.Port() == 0:
			l.faults.add(name, "write a port from 1 to 65535", "%s has port 0", show(item))
		case slices.Contains(all, addrPort):
			l.faults.add(name, "keep one of the two", "%s is listed twice", show(item))
		default:
			all = append(all, addrPort)
		}
	}
	return all
}

// separators are the characters between the items of a list.
const separators = ", \t\r\n"

// list splits value at commas and white space.
func list(value string) iter.Seq[string] {
	return strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(separators, r) })
}

// refuseOwnUpstreams reports upstreams that are the sidecar's own resolver.
func (l *loader) refuseOwnUpstreams(c Config) {
	for _, up := range c.DNSUpstreams {
		for _, us := range c.DNSListen {
			same := us.Addr() == up.Addr() || us.Addr().IsUnspecified() && up.Addr().IsLoopback()
			if same && us.Port() == up.Port() {
				l.faults.add("HYCO_DNS_UPSTREAMS", "name the resolver that other names should go to, for example the cluster's",
					"%s is this sidecar itself (HYCO_DNS_LISTEN)", up)
			}
		}
	}
}

func (l *loader) roots(name, path string) *x509.CertPool {
	if path == "" {
		return nil
	}
	pem, err := l.readFile(path)
	if err != nil {
		l.faults.add(name, "name a file that this user may read", "cannot read %s: %s", show(path), reason(err))
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // the machine has no roots
	}
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		l.faults.add(name, "write certificates in PEM form, -----BEGIN CERTIFICATE-----", "%s contains no certificate", show(path))
		return nil
	}
	return pool
}
