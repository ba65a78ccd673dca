package plan

import (
	"net/http"
	"net/url"
)

// Proxy is the proxy on the way to the relay of a namespace, as relayclient chooses
// it from HTTPS_PROXY and NO_PROXY; nil means none. Its URL may hold a password.
func Proxy(namespace string) *url.URL {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: namespace}})
	if err != nil { // its text may hold a password; config has refused such a setting
		return nil
	}
	return proxy
}

// ProxyHost is [Proxy] as host:port, without credentials; empty means none.
func ProxyHost(namespace string) string {
	if proxy := Proxy(namespace); proxy != nil {
		return proxy.Host
	}
	return ""
}
