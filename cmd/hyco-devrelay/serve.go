package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"hyco-sidecar/test/fakelistener"
	"hyco-sidecar/test/fakerelay"
)

// serve runs the relay and its listeners until ctx ends.
func (s settings) serve(ctx context.Context, stdout, stderr io.Writer) error {
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: s.logLevel}))
	if err := os.WriteFile(s.caFile, s.caPEM, 0o644); err != nil {
		return fmt.Errorf("-ca-file: %w", err)
	}
	ln, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return err
	}
	d := &devrelay{
		settings: s,
		// The first host, for it is in the certificate and clients resolve it.
		host:     net.JoinHostPort(s.hosts[0], port),
		sender:   fakerelay.Rule{Name: senderRule, Key: s.sendKey, Send: true},
		listener: fakerelay.Rule{Name: listenerRule, Key: s.listenKey, Listen: true},
		log:      log,
		roots:    x509.NewCertPool(),
	}
	d.roots.AppendCertsFromPEM(s.caPEM)
	server := &fakerelay.Server{
		Certificate:   s.certificate,
		AcceptTimeout: s.acceptTimeout,

		SendMayNotRead: s.sendMayNotRead,
		Clock:          func() time.Time { return time.Now().Add(s.clockOffset) },
		Logger:         log,
	}
	if s.entraKey != nil {
		server.EntraKey = s.entraKey
	}
	s.switches.apply(server)
	return d.run(ctx, ln, server, stdout)
}

// devrelay is a relay about to run.
type devrelay struct {
	settings
	host             string // with the port that was bound
	sender, listener fakerelay.Rule
	roots            *x509.CertPool
	log              *slog.Logger
}

func (d *devrelay) run(signalled context.Context, ln net.Listener, server *fakerelay.Server, stdout io.Writer) error {
	// It ends after the drain that the signal begins, or when something fails.
	ctx, fail := context.WithCancelCause(context.WithoutCancel(signalled))
	defer fail(nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-signalled.Done():
		}
		drain, cancel := context.WithTimeout(ctx, d.drain)
		defer cancel()
		server.Drain(drain)
		fail(nil)
	})
	start := func(serve func() error) {
		wg.Go(func() {
			if err := serve(); err != nil {
				fail(failure{err})
			}
		})
	}
	for _, r := range d.rules {
		if r.entity == "" {
			server.Rules = append(server.Rules, r.Rule)
		}
	}
	for _, e := range d.entities {
		server.Entities = append(server.Entities, d.hybridConnection(e))
	}
	start(func() error { return server.Serve(ctx, ln) })

	online := make(chan struct{}, len(d.entities))
	awaited := 0
	for _, e := range d.entities {
		if e.endpoint == "" {
			continue
		}
		awaited++
		l := d.listenerFor(e, ln.Addr().String())
		l.Online = sync.OnceFunc(func() { online <- struct{}{} })
		start(func() error { return l.Serve(ctx) })
	}
	for awaited > 0 && signalled.Err() == nil && ctx.Err() == nil {
		select {
		case <-online:
			awaited--
		case <-signalled.Done():
		case <-ctx.Done():
		}
	}
	if ctx.Err() == nil && d.sendKeys != "" {
		if err := d.rekey(server); err != nil {
			fail(failure{err})
		}
		wg.Go(func() { d.rekeyOnHangup(ctx, server, stdout) })
	}
	if ctx.Err() == nil {
		d.report(stdout)
	}
	wg.Wait()
	if f, ok := errors.AsType[failure](context.Cause(ctx)); ok {
		return f.error
	}
	return nil
}

// failure marks an end that no signal asked for.
type failure struct{ error }

func (d *devrelay) hybridConnection(e entity) fakerelay.Entity {
	h := fakerelay.Entity{Path: e.path, Created: e.created, Rules: []fakerelay.Rule{d.sender, d.listener}}
	for _, r := range d.rules {
		if d.same(r.entity, e.path) {
			h.Rules = append(h.Rules, r.Rule)
		}
	}
	h.Anonymous = slices.ContainsFunc(d.anonymous, func(path string) bool { return d.same(path, e.path) })
	given := false
	for path, text := range d.metadata {
		if d.same(path, e.path) {
			h.UserMetadata, given = text, true
		}
	}
	if !given && e.endpoint != "" {
		// What App Service and the Hybrid Connection Manager read.
		metadata, err := json.Marshal([]map[string]string{{"key": "endpoint", "value": e.endpoint}})
		if err == nil {
			h.UserMetadata = string(metadata)
		}
	}
	return h
}

func (d *devrelay) listenerFor(e entity, address string) *fakelistener.Listener {
	var dialer net.Dialer
	l := &fakelistener.Listener{
		ConnectionString: fakerelay.ConnectionString(d.host, fakerelay.Entity{Path: e.path}, d.listener),
		RootCAs:          d.roots,
		Personality:      d.personality,
		PortNames:        d.portNames(),
		RelayAddress:     address,
		DialTimeout:      d.dialTimeout,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", e.dial)
		},
		Logger: d.log.With("listener", e.path),
	}
	if d.personality == fakelistener.HCMService && e.dial == e.endpoint {
		l.Dial = nil // what the metadata names is dialled
	}
	d.keepOpen(l)
	return l
}

// report prints what the sidecar and further listeners need.
func (d *devrelay) report(stdout io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "HYCO_CA_FILE=%s\n", d.caFile)
	for i, e := range d.entities {
		if e.endpoint != "" {
			fmt.Fprintf(&b, "HYCO_CONNECTION_%d_ENDPOINT=%s\n", i, e.endpoint)
		}
		h := fakerelay.Entity{Path: e.path}
		fmt.Fprintf(&b, "HYCO_CONNECTION_%d_CONNECTION_STRING=%s\n", i, fakerelay.ConnectionString(d.host, h, d.sender))
		fmt.Fprintf(&b, "# listener %s: %s\n", e.path, fakerelay.ConnectionString(d.host, h, d.listener))
	}
	for _, r := range d.rules {
		text := fakerelay.ConnectionString(d.host, fakerelay.Entity{Path: r.entity}, r.Rule)
		fmt.Fprintf(&b, "# rule %s: %s\n", r.name(), strings.TrimSuffix(text, ";EntityPath="))
	}
	b.WriteString("# ready\n")
	io.WriteString(stdout, b.String())
}
