package fakelistener

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// refused is an answer other than 101 to a handshake.
type refused struct{ status string }

func (e *refused) Error() string { return "listener: the relay answered " + e.status }

// open connects to target, a wss URL that is used as it is, and upgrades the
// connection. The handshake ends with ctx and after 20 s.
func (l *Listener) open(ctx context.Context, target string, header http.Header) (*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("listener: the relay's address: %w", err)
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "443")
	}
	if l.RelayAddress != "" {
		addr = l.RelayAddress
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listener: reach the relay: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	s, err := l.upgrade(ctx, raw, u, header)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return s, nil
}

func (l *Listener) upgrade(ctx context.Context, raw net.Conn, u *url.URL, header http.Header) (*socket, error) {
	conn := tls.Client(raw, &tls.Config{
		ServerName: u.Hostname(),
		RootCAs:    l.RootCAs,
		NextProtos: []string{"http/1.1"},
		MinVersion: tls.VersionTLS12,
		// Small first records help a browser, and only cost a tunnel.
		DynamicRecordSizingDisabled: true,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("listener: TLS with the relay: %w", err)
	}
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Opaque: u.RequestURI()}, Host: u.Host, Header: header.Clone()}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", key)
	if err := r.Write(conn); err != nil {
		return nil, fmt.Errorf("listener: write to the relay: %w", err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, r)
	if err != nil {
		return nil, fmt.Errorf("listener: the relay's answer: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, &refused{resp.Status}
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if got, want := resp.Header.Get("Sec-WebSocket-Accept"), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return nil, fmt.Errorf("listener: Sec-WebSocket-Accept is %q, not %q", got, want)
	}
	return newSocket(raw, conn, br), nil
}
