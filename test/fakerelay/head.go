package fakerelay

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"net/textproto"
	"strings"
)

const (
	// maxHead bounds a request's head. The service's own bound is not known; this
	// one is above every head that some server on the way takes.
	maxHead = 1 << 20
	// maxAccept bounds an accept message. The .NET listener reads a longer one for
	// ever, at the cost of one core.
	maxAccept = 64 << 10
)

var errHeadTooLong = errors.New("relay: the request's head is too long")

// readHead reads a request's head up to and with its empty line. net/http is given
// the bytes afterwards: it changes the case of header names, which the service
// passes on as they were sent.
func readHead(br *bufio.Reader) ([]byte, error) {
	var head []byte
	for {
		line, err := br.ReadSlice('\n')
		head = append(head, line...)
		switch {
		case len(head) > maxHead:
			return nil, errHeadTooLong
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return nil, err
		case len(head) > 2 && (bytes.HasSuffix(head, []byte("\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n"))):
			return head, nil
		}
	}
}

// parseHead takes a head apart. spelled has each header's canonical name and how
// it was first written.
func parseHead(head []byte) (r *http.Request, spelled map[string]string, err error) {
	if r, err = http.ReadRequest(bufio.NewReader(bytes.NewReader(head))); err != nil {
		return nil, nil, err
	}
	spelled = make(map[string]string, len(r.Header)+1)
	lines := bytes.Split(head, []byte("\n"))
	for _, line := range lines[1:] {
		name, _, ok := strings.Cut(string(line), ":")
		if !ok || strings.HasPrefix(name, " ") || strings.HasPrefix(name, "\t") { // the end, or a folded value
			continue
		}
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if _, again := spelled[canonical]; !again {
			spelled[canonical] = name
		}
	}
	return r, spelled, nil
}

// connectHeaders is what a listener is told of the request's headers: all but
// the relay's own.
func (r *request) connectHeaders(anonymous bool) map[string]string {
	headers := make(map[string]string, len(r.Header)+1)
	put := func(canonical, value string) {
		name, ok := r.spelled[canonical]
		if !ok {
			name = canonical
		}
		headers[name] = value
	}
	put("Host", r.Host)
	_, inAuthorization := r.presentedToken()
	for name, values := range r.Header {
		if strings.EqualFold(name, "ServiceBusAuthorization") || name == "Authorization" && inAuthorization && !anonymous {
			continue
		}
		put(name, strings.Join(values, ", "))
	}
	return headers
}

// parameter is the value of the relay's own query parameter of that name, in any
// case.
func (r *request) parameter(name string) (value string, ok bool) {
	if values, ok := r.query[name]; ok {
		return values[0], true
	}
	for written, values := range r.query {
		if strings.EqualFold(written, name) {
			return values[0], true
		}
	}
	return "", false
}
