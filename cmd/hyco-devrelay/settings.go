package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"hyco-sidecar/test/fakelistener"
)

const usage = `hyco-devrelay stands in for Azure Relay, to develop and demonstrate hyco-sidecar
without Azure. It is NOT for production: the certificate is made at every start,
keys are printed, and nothing in it is hardened.

usage: hyco-devrelay [flags] ENTITY[=HOST:PORT[@DIAL:PORT]] ...

Every ENTITY becomes a hybrid connection. With =HOST:PORT it also gets a
listener, which dials HOST:PORT, or DIAL:PORT when that is given. Without, a
listener from elsewhere may register. What hyco-sidecar needs is printed in
the form of an env file; "# ready" is the last line.

flags:
`

// settings are the arguments, checked.
type settings struct {
	listen         string
	hosts          []string
	caFile         string // absolute
	personality    fakelistener.Personality
	portName       string        // of azbridge, several with commas; empty = any
	dialTimeout    time.Duration // of the listeners; 0 = the system's
	sendKey        string
	sendKeys       string // file; empty = sendKey is all
	listenKey      string
	metadata       map[string]string // of entities, in place of their endpoint's
	sendMayNotRead bool
	acceptTimeout  time.Duration
	clockOffset    time.Duration // the relay's clock minus this machine's
	logLevel       slog.Level
	entities       []entity
}

// entity is one ENTITY argument.
type entity struct {
	path     string
	endpoint string // as the app knows it; empty = no listener
	dial     string // where the listener finds it
}

var personalities = []fakelistener.Personality{
	fakelistener.HCM, fakelistener.HCMService, fakelistener.HalfClose, fakelistener.DotnetRaw, fakelistener.Azbridge, fakelistener.Aztunnel, fakelistener.NodeLike, fakelistener.Reject, fakelistener.NeverRendezvous,
}

// parse reads the arguments and reports all their faults together, each on a
// line of its own.
func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	var hosts, personality string
	f := flag.NewFlagSet("hyco-devrelay", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&s.listen, "listen", "127.0.0.1:8443", "`address` to listen on; port 0 takes a free one")
	f.StringVar(&hosts, "host", "localhost,127.0.0.1", "`names` and IPs of the certificate; the first is put into connection strings")
	f.StringVar(&s.caFile, "ca-file", "hyco-devrelay-ca.pem", "`file` to write the CA certificate to")
	f.StringVar(&personality, "personality", string(fakelistener.HCM), "`kind` of listener: "+personalityNames())
	f.StringVar(&s.portName, "port-name", "", "`names` of the ports that an azbridge listener serves, with commas (default any)")
	f.DurationVar(&s.dialTimeout, "dial-timeout", 0, "`time` that a listener gives its target (default the system's, as Hybrid Connection Manager: over two minutes on Linux)")
	f.StringVar(&s.sendKey, "send-key", "", "`key` of the rule defaultSender (default random)")
	f.StringVar(&s.sendKeys, "send-keys", "", "`file` with one or two keys of defaultSender, a line each, instead of -send-key; SIGHUP reads it again")
	f.StringVar(&s.listenKey, "listen-key", "", "`key` of the rule defaultListener (default random)")
	s.metadata = make(map[string]string)
	f.Func("metadata", "`ENTITY=TEXT` that an entity's user metadata is; may be repeated (default its endpoint)", func(value string) error {
		entity, text, ok := strings.Cut(value, "=")
		if !ok {
			return errors.New("write ENTITY=TEXT")
		}
		s.metadata[entity] = text
		return nil
	})
	f.BoolVar(&s.sendMayNotRead, "send-may-not-read", false, "the Send right alone does not read metadata")
	f.DurationVar(&s.acceptTimeout, "accept-timeout", 30*time.Second, "`time` a listener has to take a connection")
	f.DurationVar(&s.clockOffset, "clock-offset", 0, "how far the relay's clock is ahead, as `time`; below 0: behind")
	f.TextVar(&s.logLevel, "log-level", slog.LevelInfo, "`level`: debug, info, warn or error")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, usage)
			f.SetOutput(stderr)
			f.PrintDefaults()
			return s, err
		}
		return s, fmt.Errorf("hyco-devrelay: %w; see hyco-devrelay -h", err)
	}

	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("hyco-devrelay: "+format, a...)) }
	if _, err := splitAddress(s.listen, 0); err != nil {
		fault("-listen %q: %v", s.listen, err)
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if host = strings.TrimSpace(host); host != "" {
			s.hosts = append(s.hosts, host)
		}
	}
	if len(s.hosts) == 0 {
		fault("-host %q: name at least one host", hosts)
	}
	s.personality = fakelistener.Personality(personality)
	if !slices.Contains(personalities, s.personality) {
		fault("-personality %q: choose one of %s", personality, personalityNames())
	}
	if s.acceptTimeout <= 0 {
		fault("-accept-timeout %v: must be above 0", s.acceptTimeout)
	}
	var err error
	if s.caFile, err = filepath.Abs(s.caFile); err != nil {
		fault("-ca-file: %v", err)
	}
	if s.sendKeys != "" {
		var keys []string
		if keys, err = readKeys(s.sendKeys); err != nil {
			fault("-send-keys: %v", err)
		} else {
			s.sendKey = keys[0]
		}
	}
	for _, k := range []struct {
		flag string
		key  *string
	}{{"-send-key", &s.sendKey}, {"-listen-key", &s.listenKey}} {
		switch {
		case *k.key == "":
			*k.key = randomKey()
		case len(*k.key) > 256 || strings.ContainsAny(*k.key, "; \t\r\n'\"\\$`"):
			fault("%s: must be of at most 256 characters, without blanks, quotes, semicolons, $ and \\", k.flag)
		}
	}
	if f.NArg() == 0 {
		fault("name at least one ENTITY, such as orders-hc=orders.corp.example:8080")
	}
	for _, arg := range f.Args() {
		e, err := parseEntity(arg)
		switch {
		case err != nil:
			fault("%q: %v", arg, err)
		case slices.ContainsFunc(s.entities, func(o entity) bool { return o.path == e.path }):
			fault("%q: the entity %s was named before", arg, e.path)
		}
		s.entities = append(s.entities, e)
	}
	return s, errors.Join(faults...)
}

// entityName is what azbridge allows, too.
var entityName = regexp.MustCompile(`^[0-9A-Za-z_.-]+(/[0-9A-Za-z_.-]+)*$`)

func parseEntity(arg string) (entity, error) {
	path, target, hasTarget := strings.Cut(arg, "=")
	if !entityName.MatchString(path) {
		return entity{}, errors.New("an entity's name consists of letters, digits, '.', '-', '_' and, inside, '/'")
	}
	if !hasTarget {
		return entity{path: path}, nil
	}
	endpoint, dial, hasDial := strings.Cut(target, "@")
	if !hasDial {
		dial = endpoint
	}
	for _, address := range []string{endpoint, dial} {
		host, err := splitAddress(address, 1)
		if err == nil && host == "" {
			err = errors.New("the host is missing")
		}
		if err != nil {
			return entity{}, fmt.Errorf("write ENTITY=HOST:PORT or ENTITY=HOST:PORT@DIAL:PORT (%q: %w)", address, err)
		}
	}
	return entity{path: path, endpoint: endpoint, dial: dial}, nil
}

// splitAddress checks host:port with a port from least to 65535.
func splitAddress(address string, least int) (host string, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", errors.New("write host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < least || n > 65535 {
		return "", fmt.Errorf("the port must be a number from %d to 65535", least)
	}
	return host, nil
}

// portNames are those of portName.
func (s settings) portNames() []string {
	if s.portName == "" {
		return nil
	}
	return strings.Split(s.portName, ",")
}

func personalityNames() string {
	var names []string
	for _, p := range personalities {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// randomKey looks like a key made by Azure: 32 bytes in base64.
func randomKey() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}
