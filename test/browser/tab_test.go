package browser_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// tab is one page in the browser. What the page complains of, and whom it asks,
// is looked at when the test ends.
type tab struct {
	*testing.T
	ctx    context.Context
	origin string

	mu         sync.Mutex
	complaints []string
	requests   []string
	lost       bool // requests may fail
}

// open opens the page at origin in a new tab of that width, in light colours. The
// tab closes with the test.
func open(t *testing.T, origin string, width int64) *tab {
	t.Helper()
	needsBrowser(t)
	p := &tab{T: t, origin: origin}
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithListener(p.listen))
	t.Cleanup(func() {
		closeTab()
		p.look()
	})
	p.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // opens the tab, for as long as this context lives
		t.Fatal(err)
	}
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, log.Enable, cdp.Empty{}); err != nil {
			return err
		}
		if _, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		// A tab in the background would be hidden, and the page would rest.
		_, err := cdp.Call(ctx, target, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		return err
	}))
	p.resize(width)
	p.prefer("light")
	p.do(chromedp.Navigate(origin + "/"))
	return p
}

// listen is called with what happens in the tab.
func (p *tab) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		for _, arg := range e.Args {
			p.complaints = append(p.complaints, fmt.Sprintf("console.%s: %s%s", e.Type, arg.Description, arg.Value))
		}
	case *runtime.EventExceptionThrown:
		p.complaints = append(p.complaints, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded: // violations of the policy, and requests that failed
		if !p.lost || e.Entry.Source != log.EntrySourceNetwork {
			p.complaints = append(p.complaints, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	}
}

// look fails the test where the page has complained, or asked somebody else.
func (p *tab) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, complaint := range p.complaints {
		p.Errorf("the page complains: %s", complaint)
	}
	for _, url := range p.requests {
		rest, ours := strings.CutPrefix(url, p.origin)
		if ours && (rest == "/" || rest == "/api/status") || strings.HasPrefix(url, "data:") {
			continue
		}
		p.Errorf("the page asks for %s", url)
	}
}

// asked is how often the page has asked for the status so far.
func (p *tab) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, url := range p.requests {
		if strings.HasSuffix(url, "/api/status") {
			n++
		}
	}
	return n
}

// mayLose says that requests of the page fail from now on, on purpose.
func (p *tab) mayLose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = true
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.Fatal(err)
	}
}

// value is what a JavaScript expression comes to.
func value[T any](p *tab, expression string, options ...chromedp.EvaluateOption) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return v
}

// run runs JavaScript in the page.
func (p *tab) run(script string) {
	p.Helper()
	value[bool](p, "{"+script+"}; true")
}

// resize sets the width of the window.
func (p *tab) resize(width int64) {
	p.Helper()
	p.do(chromedp.EmulateViewport(width, 900))
}

// prefer sets the reader's colour scheme: light or dark.
func (p *tab) prefer(scheme string) {
	p.Helper()
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"}, // colours in between have no contrast to check
		}})
		return err
	}))
}

// await waits until a JavaScript expression is true.
func (p *tab) await(expression string) {
	p.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !value[bool](p, "Boolean("+expression+")") {
		if time.Now().After(deadline) {
			p.Fatalf("in vain waited for %s; the page says:\n%s", expression, p.text())
		}
		<-tick.C
	}
}

// awaitText waits until a reader sees all of texts.
func (p *tab) awaitText(texts ...string) {
	p.Helper()
	for _, text := range texts {
		p.await("document.body.innerText.includes(" + strconv.Quote(text) + ")")
	}
}

// awaitTitle waits for the tab's title.
func (p *tab) awaitTitle(title string) {
	p.Helper()
	p.await("document.title === " + strconv.Quote(title))
}

// text is what a reader sees.
func (p *tab) text() string {
	p.Helper()
	return value[string](p, "document.body.innerText")
}

// sees fails the test for each of texts that a reader does not see.
func (p *tab) sees(texts ...string) {
	p.Helper()
	all := p.text()
	for _, text := range texts {
		if !strings.Contains(all, text) {
			p.Errorf("the page does not say %q", text)
		}
	}
	if p.Failed() {
		p.Logf("the page says:\n%s", all)
	}
}

// forget drops the complaints so far.
func (p *tab) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complaints = nil
}
