package relayclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// dialTCP connects to address. Names are first looked up as they are: a search list, as
// Kubernetes gives every pod, would otherwise be tried through for most relays' names. Only a
// name that does not exist as it is, is left to the search list. The caller closes the
// connection.
func (c *Client) dialTCP(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Resolver: c.names.resolver(c.nameserver(), c.guarded), Control: c.control()}
	conn, err := dialer.DialContext(ctx, "tcp", rooted(address))
	unresolved, ok := errors.AsType[*net.DNSError](err)
	switch {
	case ok && unresolved.IsNotFound && rooted(address) != address:
		conn, err = dialer.DialContext(ctx, "tcp", address)
	case ok && strings.Contains(unresolved.Err, syscall.EMFILE.Error()): // net.DNSError keeps its text alone
		return nil, fmt.Errorf("looking up %s: %w", strings.TrimSuffix(unresolved.Name, "."), syscall.EMFILE)
	case ok:
		unresolved.Name = strings.TrimSuffix(unresolved.Name, ".")
	case err != nil:
		c.forgetNames(ctx)
	}
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if s := newSocket(tcp); s != nil {
			return s, nil
		}
	}
	return conn, nil
}

// control is Control, which package net calls on a goroutine of its own where a name has
// addresses of both families: it runs within guarded, as the look-up does.
func (c *Client) control() func(network, address string, raw syscall.RawConn) error {
	if c.Control == nil {
		return nil
	}
	return func(network, address string, raw syscall.RawConn) (err error) {
		c.guarded(func() { err = c.Control(network, address, raw) })()
		return err
	}
}

// nameserver is how to connect to a nameserver.
func (c *Client) nameserver() connector {
	if c.Nameserver != nil {
		return c.Nameserver
	}
	return (&net.Dialer{Control: c.Control}).DialContext
}

// forgetNames has names looked up again, since their addresses lead nowhere; unless it was
// the caller who gave up.
func (c *Client) forgetNames(ctx context.Context) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		c.names.forget()
	}
}

// rooted is address with a name that no search list applies to. Names of one or two labels,
// which networks of containers use, are left alone.
func rooted(address string) string {
	host, port, err := net.SplitHostPort(address)
	if _, notIP := netip.ParseAddr(host); err != nil || notIP == nil || strings.Count(host, ".") < 2 || strings.HasSuffix(host, ".") {
		return address
	}
	return net.JoinHostPort(host+".", port)
}
