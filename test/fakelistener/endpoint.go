package fakelistener

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// endpoint is a parsed connection string.
type endpoint struct {
	host         string // with the port, if there is one
	path         string
	keyName, key string
}

func parseEndpoint(connectionString string) (endpoint, error) {
	fields := map[string]string{}
	for segment := range strings.SplitSeq(connectionString, ";") {
		name, value, _ := strings.Cut(segment, "=")
		fields[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	u, err := url.Parse(fields["endpoint"])
	e := endpoint{path: fields["entitypath"], keyName: fields["sharedaccesskeyname"], key: fields["sharedaccesskey"]}
	if err != nil || u.Scheme != "sb" || u.Host == "" || e.path == "" || e.keyName == "" || e.key == "" {
		return endpoint{}, errors.New("listener: the connection string needs Endpoint=sb://…, SharedAccessKeyName, SharedAccessKey and EntityPath")
	}
	e.host = u.Host
	return e, nil
}

// token signs http://host/path/ as the .NET library does: without the port and
// with a slash at the end. The key is used as text.
func (e endpoint) token(lifetime time.Duration) string {
	host := e.host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	sr := url.QueryEscape("http://" + strings.ToLower(host) + "/" + e.path + "/")
	// Whole seconds, rounded up: a short lifetime must not end early.
	se := strconv.FormatInt(time.Now().Add(lifetime+time.Second).Unix(), 10)
	mac := hmac.New(sha256.New, []byte(e.key))
	mac.Write([]byte(sr + "\n" + se))
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%s&skn=%s", sr,
		url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil))), se, url.QueryEscape(e.keyName))
}

// escapePath escapes the segments of an entity's path.
func escapePath(path string) string {
	return (&url.URL{Path: path}).EscapedPath()
}

func newGUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
