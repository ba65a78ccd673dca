package main

import (
	"net/http"
	"net/url"
	"slices"

	"hyco-sidecar/config"
)

// proxyOf is the proxy on the way to a relay, as relayclient chooses it; nil is
// none.
func proxyOf(namespace string) *url.URL {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: namespace}})
	if err != nil { // whose text may hold a password; config has refused such a setting
		return nil
	}
	return proxy
}

// proxyFor is that proxy as host:port, without the credentials that may be in
// its URL; empty when there is none.
func proxyFor(namespace string) string {
	if proxy := proxyOf(namespace); proxy != nil {
		return proxy.Host
	}
	return ""
}

// proxyRows say which relay is reached through which proxy, or that none is.
func proxyRows(cfg config.Config) [][2]string {
	var rows [][2]string
	used := false
	for _, c := range cfg.Connections {
		label := "proxy to " + c.Namespace
		if slices.ContainsFunc(rows, func(row [2]string) bool { return row[0] == label }) {
			continue
		}
		proxy := proxyOf(c.Namespace)
		used = used || proxy != nil
		rows = append(rows, [2]string{label, describeProxy(proxy)})
	}
	if !used {
		return [][2]string{{"proxy", describeProxy(nil)}}
	}
	return rows
}

// describeProxy tells whether there are credentials, and not which.
func describeProxy(proxy *url.URL) string {
	switch {
	case proxy == nil:
		return "none"
	case proxy.User != nil:
		return proxy.Scheme + "://" + proxy.Host + ", with credentials"
	}
	return proxy.Scheme + "://" + proxy.Host
}
