package browser_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
)

const axeFile = "node_modules/axe-core/axe.min.js"

// looks are the widths and colour schemes in which everything has to hold.
var looks = []struct {
	name   string
	width  int64
	scheme string
}{
	{"360-light", 360, "light"},
	{"360-dark", 360, "dark"},
	{"1280-light", 1280, "light"},
	{"1280-dark", 1280, "dark"},
}

// violation is what axe-core reports about a rule that is broken.
type violation struct {
	ID    string
	Help  string
	Nodes []struct {
		HTML           string
		FailureSummary string
	}
}

// accessible fails the test for whatever axe-core finds wrong with what is
// shown, and where the page has to be scrolled sideways.
func (p *tab) accessible(about string) {
	p.Helper()
	script, err := os.ReadFile(axeFile)
	if err != nil {
		p.Fatal(err)
	}
	// Scripts that a debugger runs are not subject to the page's policy.
	p.run(`if (!window.axe) {` + string(script) + `}`)
	report := value[string](p, `axe.run(document, {resultTypes: ["violations", "incomplete"], rules: {"target-size": {enabled: true}}})
		.then(r => JSON.stringify({violations: r.violations, incomplete: r.incomplete, passes: r.passes.length}))`, chromedp.EvalAwaitPromise)
	var result struct {
		Violations, Incomplete []violation
		Passes                 int
	}
	if err := json.Unmarshal([]byte(report), &result); err != nil {
		p.Fatal(err)
	}
	if result.Passes < 20 {
		p.Errorf("%s: only %d of axe-core's rules were applied", about, result.Passes)
	}
	// What axe-core cannot decide it leaves to people; here it decides all.
	for _, v := range append(result.Violations, result.Incomplete...) {
		for _, node := range v.Nodes {
			p.Errorf("%s: %s: %s\n%s\n%s", about, v.ID, v.Help, node.HTML, node.FailureSummary)
		}
	}
	if over := value[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
		p.Errorf("%s: the page is %d px too wide", about, over)
	}
}

// TestEveryStateIsAccessible also keeps pictures of the states, where go test is
// run with -artifacts.
func TestEveryStateIsAccessible(t *testing.T) {
	t.Parallel()
	unused := calm()
	unused.DNS = admin.DNS{Listen: unused.DNS.Listen}
	unused.Connections.Open = 4096
	long := office()
	for i := range long.Endpoints {
		e := &long.Endpoints[i]
		e.Name, e.Entity = strings.Repeat("a-rather-long-label.", 12)+"example:1433", strings.Repeat("long-", 50)+"hc"
		e.Total, e.Up, e.Down = 1<<53, 1<<53, 1<<53
	}
	for _, c := range []struct {
		name   string
		status admin.Status
		silent bool
	}{
		{"trouble", office(), false},
		{"silent", office(), true},
		{"unused", unused, false},
		{"many", campus(12), false},
		{"long", long, false},
	} {
		f := newFake(t, c.status)
		p := open(t, f.URL, 1280)
		p.awaitText(c.status.Endpoints[0].Name)
		if c.silent {
			p.mayLose()
			f.breakWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
			p.run(askNow)
			p.awaitTitle("no answer – hyco-sidecar")
		}
		for _, look := range looks {
			p.prefer(look.scheme)
			p.resize(look.width)
			p.accessible(c.name + ", " + look.name)
			p.keep(c.name + "-" + look.name)
		}
	}
}
