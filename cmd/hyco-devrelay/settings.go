package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
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
without Azure. It is NOT for production: keys are printed, and nothing in it is
hardened.

usage: hyco-devrelay [flags] ENTITY[=HOST:PORT[@DIAL:PORT]] ...

Every ENTITY becomes a hybrid connection. With =HOST:PORT it also gets a
listener, which dials HOST:PORT, or DIAL:PORT when that is given. Without, a
listener from elsewhere may register, a Hybrid Connection Manager for example.
What hyco-sidecar needs is printed in the form of an env file; "# ready" is the
last line.

Certificate and keys are new ones at every start, unless -state names a folder
to keep them in: whoever is connected then comes back after a restart. A SIGTERM
closes the control channels, lets connections end for the time of -drain, and
closes what is left.

Each entity has the rules defaultSender (Send) and defaultListener (Listen).
-rule adds others, of one entity or of the namespace:
  -rule RootManageSharedAccessKey=manage
  -rule batch@orders-hc=listen+send:KEY

What is not publicly known of Azure is chosen with -unknown-entity,
-missing-right, -accept-timeout-status, -expiry-leeway, -idle-cut, -close-codes
and -names.

flags:
`

// The rules of every entity, as App Service names them.
const senderRule, listenerRule = "defaultSender", "defaultListener"

// settings are the arguments, checked.
type settings struct {
	listen         string
	hosts          []string
	caFile         string          // absolute
	stateDir       string          // empty = nothing is kept
	state          *state          // of stateDir, or one that nobody keeps
	certificate    tls.Certificate // see identify
	caPEM          []byte
	personality    fakelistener.Personality
	portName       string        // of azbridge, several with commas; empty = any
	dialTimeout    time.Duration // of the listeners; 0 = the system's
	sendKey        string
	sendKeys       string // file; empty = sendKey is all
	listenKey      string
	metadata       map[string]string // of entities, in place of their endpoint's
	rules          []rule            // besides defaultSender and defaultListener
	anonymous      []string          // entities whose senders need no token
	entraKey       *rsa.PublicKey    // of tokens of Entra ID; nil = none is good
	sendMayNotRead bool
	switches
	acceptTimeout time.Duration
	drain         time.Duration
	clockOffset   time.Duration // the relay's clock minus this machine's
	logLevel      slog.Level
	entities      []entity
}

// entity is one ENTITY argument.
type entity struct {
	path     string
	endpoint string // as the app knows it; empty = no listener
	dial     string // where the listener finds it
	created  time.Time
}

var personalities = []fakelistener.Personality{
	fakelistener.HCM, fakelistener.HCMService, fakelistener.HalfClose, fakelistener.DotnetRaw, fakelistener.Azbridge,
	fakelistener.Aztunnel, fakelistener.NodeLike, fakelistener.Reject, fakelistener.NeverRendezvous,
}

// parse reads the arguments and reports all their faults together, each on a
// line of its own.
func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	var hosts, personality, entraKey string
	var rules []string
	f := flag.NewFlagSet("hyco-devrelay", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&s.listen, "listen", "127.0.0.1:8443", "`address` to listen on; port 0 takes a free one")
	f.StringVar(&hosts, "host", "localhost,127.0.0.1", "`names` and IPs of the certificate; the first is put into connection strings")
	f.StringVar(&s.caFile, "ca-file", "", "`file` to write the CA certificate to (default hyco-devrelay-ca.pem, or ca.pem in the folder of -state)")
	f.StringVar(&s.stateDir, "state", "", "`folder` to keep CA, certificate and keys in over a restart (default none)")
	f.StringVar(&personality, "personality", string(fakelistener.HCM), "`kind` of listener: "+personalityNames())
	f.StringVar(&s.portName, "port-name", "", "`names` of the ports that an azbridge listener serves, with commas (default any)")
	f.DurationVar(&s.dialTimeout, "dial-timeout", 0, "`time` that a listener gives its target (default the system's: over two minutes on Linux)")
	f.StringVar(&s.sendKey, "send-key", "", "`key` of the rule defaultSender (default that of -state, or random)")
	f.StringVar(&s.sendKeys, "send-keys", "", "`file` with one or two keys of defaultSender, a line each, instead of -send-key; SIGHUP reads it again")
	f.StringVar(&s.listenKey, "listen-key", "", "`key` of the rule defaultListener (default that of -state, or random)")
	s.metadata = make(map[string]string)
	f.Func("metadata", "`ENTITY=TEXT` that an entity's user metadata is; may be repeated (default its endpoint)", func(value string) error {
		entity, text, ok := strings.Cut(value, "=")
		if !ok {
			return errors.New("write ENTITY=TEXT")
		}
		s.metadata[entity] = text
		return nil
	})
	f.Func("rule", "`NAME[@ENTITY]=RIGHTS[:KEY]` of a further rule, of the namespace unless an entity is named; "+
		"RIGHTS are listen, send, listen+send or manage; may be repeated", func(value string) error {
		rules = append(rules, value) // an error from here would show the key
		return nil
	})
	f.Func("anonymous", "`ENTITY` whose senders need no token (\"requires client authorization\" is off); may be repeated", func(value string) error {
		s.anonymous = append(s.anonymous, value)
		return nil
	})
	f.StringVar(&entraKey, "entra-key", "", "`file` with the RSA public key, or a certificate, in PEM, that checks tokens of Entra ID (default none is good)")
	s.switches.define(f)
	f.BoolVar(&s.sendMayNotRead, "send-may-not-read", false, "the Send right alone does not read metadata")
	f.DurationVar(&s.acceptTimeout, "accept-timeout", 30*time.Second, "`time` a listener has to take a connection")
	f.DurationVar(&s.drain, "drain", 5*time.Second, "`time` that open connections have to end after a SIGTERM, before they are closed")
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
	if s.portName != "" && s.personality != fakelistener.Azbridge {
		fault("-port-name %q: only the personality azbridge has one, and this is %s", s.portName, s.personality)
	}
	if s.acceptTimeout <= 0 {
		fault("-accept-timeout %v: must be above 0", s.acceptTimeout)
	}
	if s.drain < 0 {
		fault("-drain %v: must not be below 0", s.drain)
	}
	s.switches.faults(fault)
	var err error
	if s.state, err = loadState(s.stateDir); err != nil {
		fault("-state %s: %v", s.stateDir, err)
	}
	for _, text := range rules {
		r, err := parseRule(text)
		if err != nil {
			left, _, _ := strings.Cut(text, "=")
			left, _, _ = strings.Cut(left, ":")
			fault("-rule %s: %v", left, err)
			continue
		}
		s.rules = append(s.rules, r)
	}
	if entraKey != "" {
		if s.entraKey, err = readPublicKey(entraKey); err != nil {
			fault("-entra-key %s: %v", entraKey, err)
		}
	}
	switch {
	case s.caFile != "":
	case s.stateDir != "":
		s.caFile = filepath.Join(s.stateDir, "ca.pem")
	default:
		s.caFile = "hyco-devrelay-ca.pem"
	}
	if s.caFile, err = filepath.Abs(s.caFile); err != nil {
		fault("-ca-file: %v", err)
	}
	if s.sendKeys != "" && s.sendKey != "" {
		fault("-send-key and -send-keys: give one of them")
	} else if s.sendKeys != "" {
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
		if *k.key == "" {
			continue
		}
		if err := checkKey(*k.key); err != nil {
			fault("%s: %v", k.flag, err)
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
		case s.named(e.path):
			fault("%q: the entity %s was named before", arg, e.path)
		}
		s.entities = append(s.entities, e)
	}
	s.contradictions(fault)
	return s, errors.Join(faults...)
}

// named reports whether an entity of that path is among the arguments.
func (s *settings) named(path string) bool {
	return slices.ContainsFunc(s.entities, func(e entity) bool { return s.same(e.path, path) })
}

// same compares paths as the relay does.
func (s *settings) same(a, b string) bool {
	return a == b || s.names.is("any-case") && strings.EqualFold(a, b)
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
