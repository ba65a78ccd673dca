// Package rawsender is the sender's half of a hybrid connection with nothing
// done for the caller: one call is one request or one frame (RFC 6455 section
// 5.2). Tests see with it what is on the wire.
package rawsender

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gobwas/ws"
)

// Patience bounds every wait of a Conn, so that a test fails instead of hanging.
const Patience = 10 * time.Second

// Dialer says where and how to connect.
type Dialer struct {
	Addr    string // host:port of the relay
	Host    string // the Host header and TLS name; empty = localhost
	RootCAs *x509.CertPool
	Header  http.Header // of the request, names as they are spelled; the websocket headers are added
	Plain   bool        // leave the websocket headers out
}

// Conn is a TLS connection to a relay, upgraded or not.
type Conn struct {
	Raw *net.TCPConn
	TLS *tls.Conn
	br  *bufio.Reader
}

// Request connects, sends a GET for target and reads the answer's head. The
// caller closes the Conn; it is nil when there is an error.
func (d Dialer) Request(ctx context.Context, target string) (*Conn, *http.Response, error) {
	c, err := d.Send(ctx, target)
	if err != nil {
		return nil, nil, err
	}
	resp, err := c.ReadResponse()
	if err != nil {
		c.TLS.Close()
		return nil, nil, err
	}
	return c, resp, nil
}

// Send is Request without waiting for an answer.
func (d Dialer) Send(ctx context.Context, target string) (*Conn, error) {
	host := d.Host
	if host == "" {
		host = "localhost"
	}
	var nd net.Dialer
	raw, err := nd.DialContext(ctx, "tcp", d.Addr)
	if err != nil {
		return nil, err
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	conn := tls.Client(raw, &tls.Config{RootCAs: d.RootCAs, ServerName: name, DynamicRecordSizingDisabled: true})
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	c := &Conn{Raw: raw.(*net.TCPConn), TLS: conn, br: bufio.NewReader(conn)}
	if err := c.sendRequest(host, target, d); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// Again sends one more request on a connection that was not upgraded.
func (c *Conn) Again(d Dialer, target string) (*http.Response, error) {
	host := d.Host
	if host == "" {
		host = "localhost"
	}
	if err := c.sendRequest(host, target, d); err != nil {
		return nil, err
	}
	return c.ReadResponse()
}

func (c *Conn) sendRequest(host, target string, d Dialer) error {
	header := d.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if !d.Plain {
		var key [16]byte
		rand.Read(key[:])
		// Set would change the case, of which clients in the field keep the RFC's.
		header["Upgrade"] = []string{"websocket"}
		header["Connection"] = []string{"Upgrade"}
		header["Sec-WebSocket-Version"] = []string{"13"}
		header["Sec-WebSocket-Key"] = []string{base64.StdEncoding.EncodeToString(key[:])}
	}
	if _, err := fmt.Fprintf(c.TLS, "GET %s HTTP/1.1\r\nHost: %s\r\n", target, host); err != nil {
		return err
	}
	if err := header.Write(c.TLS); err != nil {
		return err
	}
	_, err := io.WriteString(c.TLS, "\r\n")
	return err
}

// ReadResponse reads the head of an answer.
func (c *Conn) ReadResponse() (*http.Response, error) {
	c.TLS.SetReadDeadline(time.Now().Add(Patience))
	return http.ReadResponse(c.br, nil)
}

// WriteFrame sends one masked frame.
func (c *Conn) WriteFrame(op ws.OpCode, fin bool, payload []byte) error {
	frame, err := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, payload)))
	if err != nil {
		return err
	}
	_, err = c.TLS.Write(frame)
	return err
}

// WriteClose sends a Close frame.
func (c *Conn) WriteClose(code int, reason string) error {
	return c.WriteFrame(ws.OpClose, true, ws.NewCloseFrameBody(ws.StatusCode(code), reason))
}

// ReadFrame reads one frame. A frame cut short gives io.ErrUnexpectedEOF and
// what there was of it.
func (c *Conn) ReadFrame() (ws.Header, []byte, error) {
	c.TLS.SetReadDeadline(time.Now().Add(Patience))
	h, err := ws.ReadHeader(c.br)
	if err != nil {
		return h, nil, err
	}
	payload := make([]byte, h.Length)
	for n := 0; n < len(payload); {
		c.TLS.SetReadDeadline(time.Now().Add(Patience)) // a large frame may come slowly
		m, err := io.ReadFull(c.br, payload[n:min(len(payload), n+1<<20)])
		n += m
		if err != nil {
			return h, payload[:n], io.ErrUnexpectedEOF
		}
	}
	return h, payload, nil
}

// ReadStream reads data frames until n bytes are there, the stream ends with a
// Close, or the connection is lost. Pings and Pongs are skipped.
func (c *Conn) ReadStream(n int) (data []byte, closed *Close, err error) {
	for len(data) < n {
		h, payload, err := c.ReadFrame()
		switch {
		case err != nil:
			return data, nil, err
		case h.OpCode == ws.OpClose:
			code, reason := ws.ParseCloseFrameData(payload)
			return data, &Close{int(code), reason}, nil
		case h.OpCode.IsData():
			data = append(data, payload...)
		}
	}
	return data, nil, nil
}

// Close is a Close frame.
type Close struct {
	Code   int
	Reason string
}
