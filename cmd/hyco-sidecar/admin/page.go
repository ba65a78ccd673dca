package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"sync"
)

//go:embed page.html
var page []byte

// pagePolicy is what the page's browser may do: run the page's one script and
// one style, which it tells by their hashes (CSP Level 3, section 2.3.1), ask
// the origin that the page is from, and show the icon, which is in the page.
// Text can become markup nowhere.
var pagePolicy = sync.OnceValue(func() string {
	return "default-src 'none'; script-src " + hashOf(page, "script") + "; style-src " + hashOf(page, "style") +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; require-trusted-types-for 'script'; trusted-types 'none'"
})

// servePage answers with the status page, which asks for the rest itself.
func servePage(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache") // of another version tomorrow
	h.Set("Content-Security-Policy", pagePolicy())
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(page) // fails only where the client has gone
}

// hashOf is the source expression of an inline element, the only one of its
// name, which has no attributes.
func hashOf(html []byte, name string) string {
	_, rest, _ := bytes.Cut(html, []byte("<"+name+">"))
	content, _, _ := bytes.Cut(rest, []byte("</"+name+">"))
	sum := sha256.Sum256(content)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
