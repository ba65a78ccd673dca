package fakerelay

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// SAS makes a shared access signature token that lets the holder use rule on
// audience, such as "http://contoso.servicebus.windows.net/orders-hc/", until
// expires (cut to whole seconds).
func SAS(audience string, rule Rule, expires time.Time) string {
	sr := url.QueryEscape(audience)
	se := strconv.FormatInt(expires.Unix(), 10)
	return fmt.Sprintf("%s sr=%s&sig=%s&se=%s&skn=%s", sasScheme, sr,
		url.QueryEscape(sign(rule.Key, sr, se)), se, url.QueryEscape(rule.Name))
}

// ConnectionString is what the portal shows for rule of e on the namespace
// host, which may have a port.
func ConnectionString(host string, e Entity, rule Rule) string {
	return fmt.Sprintf("Endpoint=sb://%s/;SharedAccessKeyName=%s;SharedAccessKey=%s;EntityPath=%s",
		host, rule.Name, rule.Key, e.Path)
}

const sasScheme = "SharedAccessSignature"

// sign keys the MAC with the key's text; it is not base64-decoded, though it
// usually looks so.
func sign(key, sr, se string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(sr + "\n" + se))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// token is a parsed shared access signature. The raw forms of sr and se are
// kept, for they are what was signed.
type token struct {
	sr, se   string
	sig      string
	keyName  string
	audience string
	expires  time.Time
}

var errMalformedToken = errors.New("relay: malformed token")

func parseToken(text string) (token, error) {
	scheme, fields, ok := strings.Cut(text, " ")
	if !ok || !strings.EqualFold(scheme, sasScheme) {
		return token{}, errMalformedToken
	}
	raw := map[string]string{}
	for field := range strings.SplitSeq(fields, "&") {
		key, value, ok := strings.Cut(field, "=")
		if _, twice := raw[key]; !ok || twice {
			return token{}, errMalformedToken
		}
		raw[key] = value
	}
	t := token{sr: raw["sr"], se: raw["se"]}
	seconds, err := strconv.ParseInt(t.se, 10, 64)
	if err != nil {
		return token{}, errMalformedToken
	}
	t.expires = time.Unix(seconds, 0)
	// PathUnescape, because a literal plus sign is base64 here, not a blank.
	for from, to := range map[string]*string{"sr": &t.audience, "sig": &t.sig, "skn": &t.keyName} {
		if *to, err = url.PathUnescape(raw[from]); err != nil || *to == "" {
			return token{}, errMalformedToken
		}
	}
	return t, nil
}

func (t token) signedWith(key string) bool {
	return subtle.ConstantTimeCompare([]byte(t.sig), []byte(sign(key, t.sr, t.se))) == 1
}

// covers reports whether the audience is the resource path on host or an
// ancestor of it. The service ignores scheme, port, trailing slash and case:
// the official clients differ in all four.
func (t token) covers(host, path string) bool {
	audience := strings.ToLower(t.audience)
	if _, rest, ok := strings.Cut(audience, "://"); ok {
		audience = rest
	}
	authority, above, _ := strings.Cut(audience, "/")
	if hostOnly(authority) != strings.ToLower(hostOnly(host)) {
		return false
	}
	above = strings.Trim(above, "/")
	path = strings.ToLower(strings.Trim(path, "/"))
	return above == "" || above == path || strings.HasPrefix(path, above+"/")
}

// hostOnly cuts the port off.
func hostOnly(authority string) string {
	if u, err := url.Parse("//" + authority); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return authority
}
