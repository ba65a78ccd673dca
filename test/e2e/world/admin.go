//go:build linux

package world

import (
	"strconv"
	"strings"
	"testing"
)

// Admin is where the sidecar's admin server is unless it is set otherwise.
const Admin = "http://127.0.0.1:8477"

// Curl is the body that curl in app gets from url. The test fails when curl does.
func (w *World) Curl(t testing.TB, url string) string {
	t.Helper()
	return w.MustRun(t, w.App, Command{}, "curl", "-sS", "-g", url)
}

// Answer is an HTTP server's.
type Answer struct {
	Code   string
	Header string // in lower case
	Body   string
}

// Ask is one request by curl in the namespace; args are curl's options, and the URL.
func (w *World) Ask(t testing.TB, ns string, args ...string) Answer {
	t.Helper()
	out := w.MustRun(t, ns, Command{}, append([]string{"curl", "-sS", "-i", "--max-time", "30", "-w", "\n%{http_code}"}, args...)...)
	out = strings.ReplaceAll(out, "\r\n", "\n")
	i := strings.LastIndexByte(out, '\n')
	header, body, _ := strings.Cut(out[:i], "\n\n")
	return Answer{Code: out[i+1:], Header: strings.ToLower(header), Body: body}
}

// Probe is the answer to a probe of the admin server, such as "200 ok".
func (w *World) Probe(t testing.TB, path string) string {
	t.Helper()
	a := w.Ask(t, w.App, Admin+path)
	return a.Code + " " + strings.TrimSpace(a.Body)
}

// Figures are the values of /metrics by name and labels, written as they are there.
type Figures map[string]float64

// Scrape reads /metrics; text is all of it.
func (w *World) Scrape(t testing.TB) (f Figures, text string) {
	t.Helper()
	text = w.MustRun(t, w.App, Command{}, "curl", "-sSf", Admin+"/metrics")
	f = make(Figures)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		f[line[:i]] = value
	}
	return f, text
}

// Since is by how much the metrics of a name have grown, by their labels. Those that
// have not grown are left out.
func (f Figures) Since(before Figures, name string) map[string]float64 {
	grown := make(map[string]float64)
	for series, value := range f {
		if labels, ok := strings.CutPrefix(series, name); ok && (labels == "" || labels[0] == '{') && value != before[series] {
			grown[labels] = value - before[series]
		}
	}
	return grown
}
