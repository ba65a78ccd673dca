package relayclient

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"sync"
)

// linkTransport is the http.RoundTripper of one link, and serves for one request. An
// http.Transport does it with three goroutines.
type linkTransport struct{ *link }

// maxResponse bounds the head of the relay's, or a proxy's, answer, in bytes.
const maxResponse = 64 << 10

var (
	errLongHead = errors.New("malformed HTTP response: its head is too long")
	errNoFinal  = errors.New("malformed HTTP response: one interim answer after the other")
)

// Buffers for one request each.
var (
	requestHeads  = sync.Pool{New: func() any { return new(bytes.Buffer) }}
	responseHeads = sync.Pool{New: func() any { return bufio.NewReader(nil) }}
)

// RoundTrip sends req and reads the answer's head. The body of a 101 is the connection; the
// body of any other answer is left unread.
func (x linkTransport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	err = within(req.Context(), x, x.guarded, func() error {
		resp, err = x.roundTrip(req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (x linkTransport) roundTrip(req *http.Request) (*http.Response, error) {
	head := requestHeads.Get().(*bytes.Buffer)
	defer requestHeads.Put(head)
	head.Reset()
	if err := req.Write(head); err != nil {
		return nil, err
	}
	if _, err := x.Write(head.Bytes()); err != nil {
		return nil, err
	}
	r := responseHeads.Get().(*bufio.Reader)
	r.Reset(&limitedReader{x.Conn, maxResponse})
	defer func() {
		r.Reset(nil)
		responseHeads.Put(r)
	}()
	resp, err := readFinal(r, req)
	if err != nil {
		return nil, err
	}
	resp.Body = http.NoBody
	if resp.StatusCode == http.StatusSwitchingProtocols {
		early, _ := r.Peek(r.Buffered())
		resp.Body = &upgraded{x.Conn, bytes.Clone(early)}
	}
	return resp, nil
}

// readFinal reads answers up to the first that is not interim (RFC 9110 §15.2).
func readFinal(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	for range 5 {
		resp, err := http.ReadResponse(r, req)
		if err != nil || resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
	return nil, errNoFinal
}

// limitedReader is an io.LimitedReader whose end is an error of its own, not io.EOF.
type limitedReader struct {
	io.Reader
	left int
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLongHead
	}
	n, err := l.Reader.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// upgraded is the connection after the upgrade.
type upgraded struct {
	*tls.Conn
	early []byte // what had been read with the 101, and not from here yet
}

func (t *upgraded) Read(p []byte) (int, error) {
	if len(t.early) == 0 {
		return t.Conn.Read(p)
	}
	n := copy(p, t.early)
	t.early = t.early[n:]
	return n, nil
}
