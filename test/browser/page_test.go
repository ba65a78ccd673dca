package browser_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
)

// askNow has the page ask for the status without waiting for its turn.
const askNow = `document.dispatchEvent(new Event("visibilitychange"))`

func TestThePageSaysWhatTheStatusDoes(t *testing.T) {
	t.Parallel()
	p := open(t, newFake(t, office()).URL, 1280)
	p.awaitText("Running since")
	p.sees(
		"serving", "version 1.4.0", "for 2 days", "2 failing", "2 healthy, 1 not used yet", "15", "of 4,096 at most",

		"sql01.corp.example:1433", "healthy",
		"through sql01-hc in contoso.servicebus.windows.net, with key defaultSender; accepted at 127.77.133.98:1433",
		"4,711", "412 MiB", "8.3 GiB", "4 s ago, in 118 ms", "Last failure 26 h ago: tunnel dropped",

		"api.corp.example:443", "failing", "47.1 KiB", "1.15 MiB", "47 min ago, in 1.25 s", "Last failure 9 s ago: no listener",
		`Start a Hybrid Connection Manager for "api-hc", or restart it if the portal shows it as connected.`,
		"no_listener", `no listener is connected (hybrid connection "api-hc", status 404)`,
		"1c2b8f6e-53d7-4f0a-9d0b-2f4f3a9e6c71_G12", "0b6f9a52-7c1d-4c36-8f0e-64b5a3a3c9d1", "docs/troubleshooting.md#no_listener",

		"Last failure 1 min ago: target unreachable suspected",
		"Check from the Hybrid Connection Manager's machine that it resolves the endpoint's name and reaches its port.",
		"1.5 KiB", "700 MiB", "ldap.corp.example:636", "not used yet", "never",

		"An app uses this resolver: 20,482 questions, the last 2 s ago.", "127.0.0.1:53", "10.0.0.10:53",
		"6,204", "10,366", "3,911", "kafka-2.corp.example, next to kafka-1.corp.example",

		"warning", "resolv_conf_more_nameservers", "/etc/resolv.conf names 10.0.0.10 besides this sidecar.",
		"Make 127.0.0.1 the only nameserver: some C libraries ask all of them at once.", "all right",
	)
	// What is over is told, but not in the reader's way.
	if text := p.text(); strings.Contains(text, "no answer to a ping") {
		t.Error("a healthy endpoint's old failure is shown in full")
	}
	p.awaitTitle("2 failing – hyco-sidecar")
}

func TestAnUnusedResolverSaysWhatToDo(t *testing.T) {
	t.Parallel()
	status := calm()
	status.DNS.AppQueries, status.DNS.LastAppQuery = 0, nil
	f := newFake(t, status)
	p := open(t, f.URL, 1280)
	p.awaitText("not yet", "No app has asked this resolver for a name since it started.", "/etc/resolv.conf",
		"nslookup -type=TXT hyco-sidecar.internal", "Nothing to report.")
	f.change(func(s *admin.Status) { s.DNS.AppQueries, s.DNS.LastAppQuery = 1, before(0) })
	p.awaitText("An app uses this resolver: 1 question, the last 0 s ago.")
	if strings.Contains(p.text(), "No app has asked") {
		t.Error("the warning stays")
	}
}

func TestALimitThatIsReachedIsSaid(t *testing.T) {
	t.Parallel()
	status := calm()
	status.Connections.Open, status.State = 4096, admin.Draining
	p := open(t, newFake(t, status).URL, 1280)
	p.awaitText("the limit, 4,096, is reached: new ones wait", "draining")
	p.awaitTitle("draining – hyco-sidecar")
}

func TestStateChangesAreLiveAndCountersAreQuiet(t *testing.T) {
	t.Parallel()
	f := newFake(t, calm())
	p := open(t, f.URL, 1280)
	p.awaitText("sql01.corp.example:1433")
	p.awaitTitle("hyco-sidecar")
	// The reader has marked a name and is somewhere with the keyboard.
	p.run(`
		getSelection().selectAllChildren(document.querySelectorAll("h3")[1]);
		document.getElementById("failing").focus({preventScroll: true});
		window.heard = [];
		new MutationObserver(() => heard.push(document.getElementById("news").textContent))
			.observe(document.getElementById("news"), {childList: true, characterData: true, subtree: true});
		window.card = document.querySelectorAll(".endpoint")[1]`)

	f.change(func(s *admin.Status) {
		s.Now = noon.Add(4 * time.Second)
		s.Endpoints[1].Total, s.Endpoints[1].Down = 119, 5<<20
		s.Connections.Open = 16
	})
	p.awaitText("119", "5 MiB", "16")
	if heard := value[[]string](p, "heard"); len(heard) > 0 {
		t.Errorf("counters are read aloud: %q", heard)
	}

	f.change(func(s *admin.Status) {
		s.Endpoints[1].Health, s.Endpoints[1].LastFailure = admin.Failing, office().Endpoints[1].LastFailure
	})
	p.awaitTitle("1 failing – hyco-sidecar")
	p.sees("1 failing", "Last failure 13 s ago: no listener", `Start a Hybrid Connection Manager for "api-hc"`)
	f.change(func(s *admin.Status) { s.Endpoints[1].Health = admin.Healthy })
	p.awaitTitle("hyco-sidecar")
	if strings.Contains(p.text(), "Start a Hybrid") {
		t.Error("advice is shown that is no longer needed")
	}
	want := []string{"api.corp.example:443 is failing.", "api.corp.example:443 is healthy."}
	if heard := value[[]string](p, "heard"); !slices.Equal(heard, want) {
		t.Errorf("read aloud: %q, want %q", heard, want)
	}
	if marked := value[string](p, "String(getSelection())"); marked != "api.corp.example:443" {
		t.Errorf("the reader's selection is now %q", marked)
	}
	if at := value[string](p, "document.activeElement.id"); at != "failing" {
		t.Errorf("the reader's keyboard is now at %q", at)
	}
	if !value[bool](p, `card === document.querySelectorAll(".endpoint")[1]`) {
		t.Error("the endpoint's element was replaced")
	}
}

func TestASilentSidecarIsSaidAndItsLastStateKept(t *testing.T) {
	t.Parallel()
	f := newFake(t, office())
	p := open(t, f.URL, 1280)
	p.awaitText("sql01.corp.example:1433")
	p.mayLose()
	for _, c := range []struct {
		why    string
		broken http.HandlerFunc
	}{
		{"it cannot be reached.", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"what comes back is status 503.", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }},
		{"what answers is not the sidecar.", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<h1>welcome</h1>") }},
		{"nothing has come for 5 s.", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	} {
		f.breakWith(c.broken)
		p.run(askNow)
		p.awaitText(c.why)
		p.awaitTitle("no answer – hyco-sidecar")
		p.sees("The sidecar has not answered since ", "What is shown below is from then.", "no answer", "sql01.corp.example:1433")
		if !value[bool](p, `getComputedStyle(document.getElementById("facts")).filter.includes("grayscale")`) {
			t.Errorf("%s: the last state looks like the present one", c.why)
		}
		f.breakWith(nil)
		p.run(askNow)
		p.awaitTitle("2 failing – hyco-sidecar")
		if strings.Contains(p.text(), "has not answered") {
			t.Errorf("%s: it answers again, and the page says it does not", c.why)
		}
	}
	if news := value[string](p, `document.getElementById("news").textContent`); news != "The sidecar answers again." {
		t.Errorf("read aloud: %q", news)
	}
}

func TestASidecarThatWasNeverThereIsSaid(t *testing.T) {
	t.Parallel()
	f := newFake(t, office())
	f.breakWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	p := open(t, f.URL, 360)
	p.awaitText("The sidecar does not answer: what comes back is status 500. The page keeps trying.")
	p.forget()
}

func TestAHiddenPageRests(t *testing.T) {
	t.Parallel()
	f := newFake(t, office())
	p := open(t, f.URL, 1280)
	p.awaitText("sql01.corp.example:1433")
	p.run(`Object.defineProperty(document, "hidden", {configurable: true, get: () => true}); ` + askNow)
	before := p.asked()
	if hurried := value[int](p, `new Promise(done => setTimeout(done, 2 * pause + 500, 0))`, chromedp.EvalAwaitPromise); p.asked() > before+1 || hurried != 0 {
		t.Errorf("a hidden page has asked %d times", p.asked()-before)
	}
	f.change(func(s *admin.Status) { s.Version = "1.4.1" })
	p.run(`delete document.hidden; ` + askNow)
	p.awaitText("version 1.4.1")
}

func TestManyEndpointsAreFilteredAndStayInOrder(t *testing.T) {
	t.Parallel()
	const many = 200 // 29 of them failing
	f := newFake(t, campus(many))
	p := open(t, f.URL, 1280)
	p.awaitText("host199.corp.example:1433")
	p.awaitTitle("29 failing – hyco-sidecar")
	shown := func() []string {
		return value[[]string](p, `[...document.querySelectorAll(".endpoint:not([hidden]) h3")].map(h => h.textContent)`)
	}
	all := shown()
	if len(all) != many || !slices.IsSorted(all) {
		t.Fatalf("%d endpoints are shown, not %d in the order of the settings", len(all), many)
	}

	p.do(chromedp.Focus("#failing"), chromedp.KeyEvent(" "))
	p.awaitText("29 of 200 endpoints")
	if got := shown(); len(got) != 29 || got[0] != "host003.corp.example:1433" {
		t.Errorf("failing: %q", got)
	}
	p.do(chromedp.Focus("#filter"), chromedp.KeyEvent("HOST01 example"))
	p.awaitText("2 of 200 endpoints")
	if got := shown(); !slices.Equal(got, []string{"host010.corp.example:1433", "host017.corp.example:1433"}) {
		t.Errorf("failing, and host01: %q", got)
	}
	p.do(chromedp.KeyEvent("zzz"))
	p.awaitText("No endpoint fits the filter.")
	p.do(chromedp.KeyEvent(kb.Escape), chromedp.Focus("#failing"), chromedp.KeyEvent(" "))
	p.await(`document.querySelectorAll(".endpoint:not([hidden])").length === 200`)

	// One that recovers while its line is in use does not vanish under the reader.
	p.do(chromedp.KeyEvent(" "), chromedp.Focus(".endpoint:nth-child(4) summary"))
	f.change(func(s *admin.Status) { s.Endpoints[3].Health = admin.Healthy })
	p.awaitTitle("28 failing – hyco-sidecar")
	p.awaitText("29 of 200 endpoints")
	p.do(chromedp.Focus("#failing"))
	p.run(askNow)
	p.awaitText("28 of 200 endpoints")
}

func TestFewEndpointsHaveNoFilter(t *testing.T) {
	t.Parallel()
	f := newFake(t, campus(1))
	p := open(t, f.URL, 1280)
	p.awaitText("host000.corp.example:1433")
	if text := p.text(); strings.Contains(text, "Filter") || strings.Contains(text, "Only failing") {
		t.Errorf("one endpoint can be filtered:\n%s", text)
	}
	f.change(func(s *admin.Status) { s.Endpoints = nil })
	p.awaitText("No endpoint is configured.")
}

func TestTextIsNeverMarkup(t *testing.T) {
	t.Parallel()
	const evil = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>&amp;`
	status := office()
	e := &status.Endpoints[1]
	e.Name, e.Entity, e.Namespace, e.Credential = "name"+evil, "entity"+evil, "namespace"+evil, "credential"+evil
	e.LastFailure.Error, e.LastFailure.Next, e.LastFailure.TrackingID = "error"+evil, "Next"+evil, "tracking"+evil
	e.LastFailure.See = "javascript:alert(1)"
	status.DNS.Siblings[0].Name = "sibling" + evil
	status.Findings[0].Text = "Finding" + evil
	status.DNS.Answers["source"+evil] = 1
	p := open(t, newFake(t, status).URL, 1280)
	p.awaitText("name"+evil, "entity"+evil, "namespace"+evil, "credential"+evil, "error"+evil, "Next"+evil, "tracking"+evil,
		"javascript:alert(1)", "sibling"+evil, "Finding"+evil, "source"+evil)
	p.awaitTitle("2 failing – hyco-sidecar")
}
