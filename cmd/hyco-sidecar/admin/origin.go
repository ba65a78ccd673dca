package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// onlyHere refuses requests that a browser was talked into. A page from
// elsewhere whose name was made to resolve to 127.0.0.1 (DNS rebinding) is of the
// same origin as we are, to the browser; but it cannot choose the Host header,
// which is its own name. Who means us writes an address, localhost, or, to an
// address that is not loopback, whatever name leads there.
func onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		changes := r.Method != http.MethodGet && r.Method != http.MethodHead
		if (changes || arrivedByLoopback(r)) && !namesThisMachine(r.Host) {
			http.Error(w, "the Host header names neither an address nor localhost", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromThisMachine refuses requests from elsewhere.
func fromThisMachine(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "only over loopback, from the same pod or machine", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func arrivedByLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return !ok || local.IP.IsLoopback()
}

// namesThisMachine reports whether a Host header has an address or localhost.
func namesThisMachine(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
