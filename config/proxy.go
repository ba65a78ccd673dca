package config

import (
	"net/url"
	"strings"
)

// proxy reports an HTTPS_PROXY that net/http cannot parse: net/http would silently
// connect without the proxy.
func (l *loader) proxy(environ []string) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		for _, pair := range environ {
			value, ok := strings.CutPrefix(pair, name+"=")
			if !ok || value == "" {
				continue
			}
			if !isProxy(value) {
				l.faults.add(name, "write http://host:port; in its user name and password write # as %23, / as %2F, @ as %40 and % as %25",
					"it is not the address of a proxy") // the value may contain a password and is not shown
			}
			return // the upper-case variable wins, as in net/http
		}
	}
}

// isProxy reports whether net/http understands value: a URL, or host:port.
func isProxy(value string) bool {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		if strings.Contains(value, "://") {
			return false
		}
		u, err = url.Parse("http://" + value)
	}
	if err != nil || u.Hostname() == "" {
		return false
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return true
	}
	return false
}
