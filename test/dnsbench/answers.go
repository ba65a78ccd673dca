package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// checkAnswers makes sure that s has the right address for every own name, for
// some names that it may know and for one that it cannot know, so that nobody is
// fast by lying.
func (w *world) checkAnswers(ctx context.Context, s *server) error {
	for _, name := range w.names.own {
		if err := s.expect(ctx, name, netip.MustParseAddr(w.addresses[name])); err != nil {
			return err
		}
	}
	for _, name := range append(w.names.hits[:10:10], w.names.miss()) {
		if err := s.expect(ctx, name, addressOf(name)); err != nil {
			return err
		}
	}
	return nil
}

// expect asks s for name.
func (s *server) expect(ctx context.Context, name string, want netip.Addr) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, s.address.String())
	}}
	got, err := r.LookupNetIP(ctx, "ip4", name+".")
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if len(got) != 1 || got[0].Unmap() != want {
		return fmt.Errorf("%s lies: %s is %v, not %v", s.name, name, want, got)
	}
	return nil
}
