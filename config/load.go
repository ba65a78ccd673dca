package config

import (
	"crypto/x509"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Load reads the settings in environ, which is as os.Environ returns it. Its
// error reports every fault, each a *Fault, one to a line.
func Load(environ []string) (Config, error) {
	var l loader
	l.env = readEnvironment(environ, &l.faults)
	if err := env.ParseWithOptions(&l.set, env.Options{Environment: l.env.values}); err != nil {
		return Config{}, fmt.Errorf("config: %w", err) // all fields are text: a fault of the tags, not of the settings
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
		AdminPprof:      l.choice("HYCO_ADMIN_PPROF", l.set.AdminPprof, "true", "false") == "true",
		LogLevel:        l.level("HYCO_LOG_LEVEL", l.set.LogLevel),
		LogFormat:       l.choice("HYCO_LOG_FORMAT", l.set.LogFormat, "auto", "text", "json"),
		RootCAs:         l.roots("HYCO_CA_FILE", l.set.CAFile),
	}
	if l.set.DNSUpstreams != "" {
		c.DNSUpstreams = l.addrPorts("HYCO_DNS_UPSTREAMS", l.set.DNSUpstreams, dnsPort)
	}
	l.upstreamsAreNotUs(c)
	l.proxy(environ)
	c.Connections = l.connections()
	if err := l.faults.ErrorOrNil(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// loader gives settings their meaning and collects what is wrong.
type loader struct {
	env    environment
	set    settings
	faults faults
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
		l.faults.add(name, "write "+strings.Join(allowed, ", "), "%s is none of the choices", show(value))
	}
	return lower
}

func (l *loader) level(name, value string) slog.Level {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	return levels[l.choice(name, value, "debug", "info", "warn", "error")]
}

// The ports where a setting names none.
const (
	dnsPort   = 53
	adminPort = 8477
)

// AdminListen reads HYCO_ADMIN_LISTEN alone, for commands that only talk to the
// running sidecar. Nil means that it has none.
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

// addrPorts reads a list of ip or ip:port; port is for those without.
func (l *loader) addrPorts(name, value string, port uint16) []netip.AddrPort {
	all := []netip.AddrPort{}
	if strings.Trim(value, separators) == "" {
		l.faults.add(name, "write ip or ip:port, or leave it out", "%s names nothing", show(value))
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
			l.faults.add(name, "keep one of the two", "%s stands twice", show(item))
		default:
			all = append(all, addrPort)
		}
	}
	return all
}

// separators stand between the items of a list.
const separators = ", \t\r\n"

// list splits at commas and white space.
func list(value string) iter.Seq[string] {
	return strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(separators, r) })
}

// upstreamsAreNotUs refuses an upstream that is our own resolver.
func (l *loader) upstreamsAreNotUs(c Config) {
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
	pem, err := readFile(path)
	if err != nil {
		l.faults.add(name, "name a file that this user may read", "cannot read %s: %s", show(path), reason(err))
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without roots of its own
	}
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		l.faults.add(name, "write certificates in PEM form, -----BEGIN CERTIFICATE-----", "%s holds no certificate", show(path))
		return nil
	}
	return pool
}

// loopback is where stand-in addresses can lie: Linux binds all of it without setup.
var loopback = netip.MustParsePrefix("127.0.0.0/8")

func (l *loader) loopbackRange(name, value string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(value)
	if err != nil || !p.Addr().Is4() || !loopback.Overlaps(p) || p.Bits() < loopback.Bits() {
		l.faults.add(name, "write a part of 127.0.0.0/8, for example 127.77.0.0/16", "%s is not a loopback range", show(value))
		return p, false
	}
	return p, true
}

// connections reads both forms and gives every host its address.
func (l *loader) connections() []Connection {
	all, fixed := l.indexed()
	all = append(all, l.compact()...)
	if len(all) == 0 && l.faults.ErrorOrNil() == nil {
		l.faults.add("HYCO_CONNECTION_0_ENDPOINT", "set it and HYCO_CONNECTION_0_CONNECTION_STRING, or HYCO_ENDPOINTS and HYCO_CONNECTION_STRING",
			"no endpoint is configured")
	}
	l.noDuplicates(all)
	l.notARelay(all)
	within, ok := l.loopbackRange("HYCO_LOOPBACK_RANGE", l.set.LoopbackRange)
	if !ok {
		return nil
	}
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Host
	}
	chosen, err := addresses(names, fixed, within)
	if err != nil {
		l.faults.add("HYCO_LOOPBACK_RANGE", "write a larger range, for example 127.77.0.0/16", "%v", err)
		return nil
	}
	for i := range all {
		all[i].Address = chosen[all[i].Host]
	}
	return all
}

// indexed reads the HYCO_CONNECTION_N_… groups.
func (l *loader) indexed() ([]Connection, map[string]netip.Addr) {
	var all []Connection
	fixed := make(map[string]netip.Addr)
	owner := make(map[netip.Addr]string)
	for i, g := range l.set.Connections {
		name := func(field string) string { return fmt.Sprintf("HYCO_CONNECTION_%d_%s", l.env.indices[i], field) }
		c := Connection{Variable: name("ENDPOINT")}
		complete := l.endpoint(&c, g.Endpoint)
		switch {
		case g.ConnectionString == "":
			if !l.env.faulty[name("CONNECTION_STRING")] {
				l.faults.add(name("CONNECTION_STRING"), portalShape, "it is missing")
			}
			complete = false
		default:
			cs, ok := l.connectionString(name("CONNECTION_STRING"), g.ConnectionString)
			if ok && cs.entity == "" {
				l.faults.add(name("CONNECTION_STRING"), "copy the string of the hybrid connection, or add ;EntityPath=NAME", "EntityPath is missing")
				ok = false
			}
			c.credential(cs)
			c.Entity = cs.entity
			complete = ok && complete
		}
		if g.Address != "" && c.Host != "" {
			l.override(name("ADDRESS"), g.Address, c.Host, fixed, owner)
		}
		if complete {
			all = append(all, c)
		}
	}
	return all, fixed
}

// override notes the fixed address of a host.
func (l *loader) override(name, value, host string, fixed map[string]netip.Addr, owner map[netip.Addr]string) {
	addr, err := netip.ParseAddr(value)
	switch {
	case err != nil:
		l.faults.add(name, "write for example 127.77.0.10", "%s is not an address", show(value))
	case !loopback.Contains(addr):
		l.faults.add(name, "write an address from 127.0.0.0/8: others cannot be bound and would be reachable from outside", "%s is not an IPv4 loopback address", addr)
	case addr == netip.AddrFrom4([4]byte{127, 255, 255, 255}):
		l.faults.add(name, "write for example 127.77.0.10", "%s is a broadcast address", addr)
	case owner[addr] != "" && owner[addr] != host:
		l.faults.add(name, "give each host an address of its own", "%s stands for %s already", addr, owner[addr])
	case fixed[host].IsValid() && fixed[host] != addr:
		l.faults.add(name, "set it once per host", "%s has the address %s already", host, fixed[host])
	default:
		fixed[host], owner[addr] = addr, host
	}
}

// compact reads HYCO_ENDPOINTS.
func (l *loader) compact() []Connection {
	const variable = "HYCO_ENDPOINTS"
	switch {
	case l.set.Endpoints == "" && l.set.ConnectionString == "":
		return nil
	case strings.Trim(l.set.Endpoints, separators) == "" && l.set.Endpoints != "":
		l.faults.add(variable, "write host:port=NAME, or leave it out", "%s names nothing", show(l.set.Endpoints))
		return nil
	case l.set.Endpoints == "":
		l.faults.add(variable, "set it, for example sql01.corp.example:1433=sql01-hc", "it is missing, so HYCO_CONNECTION_STRING is not used")
		return nil
	}
	var cs connectionString
	usable := false
	switch {
	case l.set.ConnectionString != "":
		cs, usable = l.connectionString("HYCO_CONNECTION_STRING", l.set.ConnectionString)
	case !l.env.faulty["HYCO_CONNECTION_STRING"]:
		l.faults.add("HYCO_CONNECTION_STRING", portalShape, "it is missing for HYCO_ENDPOINTS")
	}
	var all []Connection
	unnamed := 0
	for item := range list(l.set.Endpoints) {
		endpoint, entity, named := strings.Cut(item, "=")
		c := Connection{Variable: variable}
		complete := l.endpoint(&c, endpoint)
		switch name, problem := entityPath(entity); {
		case !usable:
			complete = false
		case named && (problem != "" || name == ""):
			l.faults.add(variable, "write host:port=NAME", "%s does not name a hybrid connection", show(item))
			complete = false
		case named && cs.entity != "" && name != cs.entity:
			l.faults.add(variable, "use the namespace's connection string, or HYCO_CONNECTION_N_… for each",
				"%s is not the hybrid connection that HYCO_CONNECTION_STRING is for (EntityPath=%s)", show(name), cs.entity)
			complete = false
		case !named && cs.entity == "":
			l.faults.add(variable, "write host:port=NAME", "%s names no hybrid connection, nor does HYCO_CONNECTION_STRING have an EntityPath", show(item))
			complete = false
		case !named:
			if unnamed++; unnamed == 2 {
				l.faults.add(variable, "write host:port=NAME for each", "two endpoints name no hybrid connection, but EntityPath stands for one")
			}
			entity = cs.entity
		}
		c.credential(cs)
		c.Entity = entity
		if complete {
			all = append(all, c)
		}
	}
	return all
}

func (l *loader) connectionString(variable, text string) (connectionString, bool) {
	cs, problem, remedy := parseConnectionString(text)
	if problem != "" {
		l.faults.add(variable, remedy, "%s", problem)
	}
	return cs, problem == ""
}

func (c *Connection) credential(cs connectionString) {
	c.Namespace, c.KeyName = cs.namespace, cs.keyName
	c.Key, c.Signature = NewSecret(cs.key), NewSecret(cs.signature)
}

// hostName matches names as DNS carries them; underscores occur in private
// zones. A last label of digits alone would make it a short form of an address.
var (
	hostName  = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	digitsEnd = regexp.MustCompile(`(^|\.)[0-9]+$`)
)

// endpoint reads host:port into c and reports whether it makes sense.
func (l *loader) endpoint(c *Connection, text string) bool {
	const example = "write host:port as the app does, for example sql01.corp.example:1433"
	if text == "" {
		l.faults.add(c.Variable, example, "it is missing")
		return false
	}
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		l.faults.add(c.Variable, example, "%s is not host:port", show(text))
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	port, err := strconv.ParseUint(portText, 10, 16)
	switch {
	case host == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '\'' || r == ';' || r == '/' }):
		l.faults.add(c.Variable, example, "%s is not host:port", show(text))
		return false
	case err != nil || port == 0:
		l.faults.add(c.Variable, "write a port from 1 to 65535", "%s has no valid port", show(text))
		return false
	case isIP(host):
		l.faults.add(c.Variable, "use a DNS name, on the Hybrid Connection Manager's side as well",
			"%s is an address, and an app that connects to an address looks no name up that could be answered", show(host))
		return false
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
		l.faults.add(c.Variable, "use another name of that machine", "%s always means the app's own machine", show(host))
		return false
	case host == "hyco-sidecar.internal":
		l.faults.add(c.Variable, "use the endpoint's own name", "%s is this program's own name", show(host))
		return false
	case len(host) > 253 || !hostName.MatchString(host) || digitsEnd.MatchString(host):
		l.faults.add(c.Variable, example, "%s is not a DNS name", show(host))
		return false
	}
	c.Host, c.Port = host, uint16(port)
	return true
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// notARelay refuses an endpoint whose name is a relay's: we would answer our own
// lookups with ourselves.
func (l *loader) notARelay(all []Connection) {
	relays := make(map[string]bool)
	for _, c := range all {
		host := c.Namespace
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		relays[host] = true
	}
	for _, c := range all {
		if relays[c.Host] {
			l.faults.add(c.Variable, "name the private host that the hybrid connection leads to", "%s is the relay itself", show(c.Host))
		}
	}
}

// noDuplicates refuses an endpoint that is named twice.
func (l *loader) noDuplicates(all []Connection) {
	seen := make(map[string]string)
	for _, c := range all {
		endpoint := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
		if first, ok := seen[endpoint]; ok {
			where := "in " + first
			if first == c.Variable {
				where = "twice"
			} else {
				where += " already"
			}
			l.faults.add(c.Variable, "keep one of the two", "%s stands %s", endpoint, where)
			continue
		}
		seen[endpoint] = c.Variable
	}
}
