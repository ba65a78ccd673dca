package relayclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"
)

// proxyURL is the proxy on the way to the relay; nil means none.
func (c *Client) proxyURL() (*url.URL, error) {
	c.routed.Do(func() {
		choose := c.Proxy
		if choose == nil {
			choose = http.ProxyFromEnvironment
		}
		var err error
		if c.proxy, err = choose(&http.Request{URL: &url.URL{Scheme: "https", Host: c.Namespace}}); err != nil {
			c.proxyErr = errProxySetting
		}
	})
	return c.proxy, c.proxyErr
}

// dialRelay makes a connection on which the relay is the next to speak to: its own, or one
// through a proxy. The caller closes it.
func (c *Client) dialRelay(ctx context.Context, p *progress) (net.Conn, error) {
	through, err := c.proxyURL()
	switch {
	case err != nil:
		p.stage.Store(StageProxy)
		return nil, err
	case through == nil:
		return c.dialTCP(p.traceNames(ctx), c.address())
	}
	conn, err := c.dialTCP(p.traceNames(ctx), proxyAddress(through))
	if err != nil {
		return nil, err
	}
	p.stage.Store(StageProxy)
	opened := conn
	err = within(ctx, conn, c.guarded, func() (err error) {
		opened, err = c.askProxy(conn, through)
		return err
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return opened, nil
}

// askProxy has the proxy at the other end of conn open the way to the relay. What it returns
// leads there; conn is beneath it.
func (c *Client) askProxy(conn net.Conn, through *url.URL) (net.Conn, error) {
	switch through.Scheme {
	case "http":
	case "https":
		config := c.tlsConfig().Clone()
		config.ServerName = through.Hostname()
		secured := tls.Client(conn, config)
		if err := secured.Handshake(); err != nil {
			return nil, fmt.Errorf("%w: TLS with it: %w", ErrProxyUnreachable, err)
		}
		conn = secured
	case "socks5", "socks5h":
		return conn, c.askSOCKS(conn, through.User)
	default:
		return nil, errProxySetting
	}
	return conn, c.askHTTP(conn, through.User)
}

// askHTTP asks with CONNECT, RFC 9110 §9.3.6.
func (c *Client) askHTTP(conn net.Conn, user *url.Userinfo) error {
	req := &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Opaque: c.address()},
		Host:   c.address(),
		Header: http.Header{"User-Agent": {c.userAgent()}},
	}
	basic := basicCredentials(user)
	if user != nil {
		req.Header.Set("Proxy-Authorization", "Basic "+basic)
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	// The bufio.Reader has read nothing ahead that could be lost: the relay waits for our
	// first bytes.
	resp, err := readFinal(bufio.NewReader(&limitedReader{conn, maxResponse}), req)
	switch {
	case err != nil && isNonsense(err):
		return ErrNotProxy // without the text that came, which may repeat the credentials
	case err != nil:
		return unanswered(err)
	case resp.StatusCode/100 == 2:
		return nil
	}
	answer := &proxyAnswer{
		kind:       ErrProxyRefused,
		status:     resp.StatusCode,
		retryAfter: retryAfter(resp.Header.Get("Retry-After")),
	}
	if _, phrase, _ := strings.Cut(resp.Status, " "); !reveals(phrase, user, basic) {
		answer.phrase = sanitize(phrase)
	}
	switch resp.StatusCode {
	case http.StatusProxyAuthRequired, http.StatusUnauthorized: // tinyproxy answers 401 to a wrong password
		answer.kind, answer.schemes = ErrProxyUnauthorized, schemes(resp.Header["Proxy-Authenticate"])
	}
	return answer
}

// askSOCKS asks as RFC 1928 and 1929 say.
func (c *Client) askSOCKS(conn net.Conn, user *url.Userinfo) error {
	var auth *proxy.Auth
	if user != nil {
		auth = &proxy.Auth{User: user.Username()}
		auth.Password, _ = user.Password()
	}
	dialer, err := proxy.SOCKS5("tcp", conn.RemoteAddr().String(), auth, dialled{conn})
	if err == nil {
		_, err = dialer.Dial("tcp", c.address())
	}
	if err == nil {
		return nil
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op != "read" && op.Op != "write" {
		err = op.Err // without addresses: they are the proxy's, which the DialError names already
	}
	return socksRefusal(err)
}

// dialled is a proxy.Dialer whose connection is there already.
type dialled struct{ conn net.Conn }

func (c dialled) Dial(string, string) (net.Conn, error) { return c.conn, nil }

func (c dialled) DialContext(context.Context, string, string) (net.Conn, error) { return c.conn, nil }

// proxyAddress is the proxy's host:port, with the port that net/http assumes where the URL has
// none.
func proxyAddress(through *url.URL) string {
	if through.Port() != "" {
		return through.Host
	}
	port := "80"
	switch through.Scheme {
	case "https":
		port = "443"
	case "socks5", "socks5h":
		port = "1080"
	}
	return net.JoinHostPort(through.Hostname(), port)
}

// basicCredentials is what follows "Basic", RFC 7617 §2.
func basicCredentials(user *url.Userinfo) string {
	password, _ := user.Password()
	return base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
}

// reveals reports whether text repeats the credentials.
func reveals(text string, user *url.Userinfo, basic string) bool {
	password, _ := user.Password()
	return user != nil && strings.Contains(text, basic) || password != "" && strings.Contains(text, password)
}
