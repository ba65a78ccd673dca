package main_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func TestStateSurvivesARestart(t *testing.T) {
	bin, dir := program(t, "hyco-devrelay"), filepath.Join(t.TempDir(), "state")
	args := []string{"-listen", "127.0.0.1:0", "-host", "contoso.example", "-state", dir, "-rule", "root=manage", "orders-hc"}
	first := run(t, bin, args...)
	if want := filepath.Join(dir, "ca.pem"); first.caFile != want {
		t.Errorf("the CA is in %s, want %s", first.caFile, want)
	}
	if info, err := os.Stat(filepath.Join(dir, "state.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state.json: %v %v, want it closed to others", info.Mode(), err)
	}
	listener := rule(first.line("# listener orders-hc: "))
	created := first.description(t)
	first.end(syscall.SIGKILL) // as a crash does

	second := run(t, bin, args...)
	strip := func(report []string, host string) string {
		return strings.ReplaceAll(strings.Join(report, "\n"), host, "HOST")
	}
	if a, b := strip(first.report, first.host), strip(second.report, second.host); a != b {
		t.Errorf("before\n%s\nafter\n%s", a, b)
	}
	// The old CA and an old token are good at the new process.
	second.roots = first.roots
	if _, resp := second.request(first.token(listener, time.Now().Add(time.Hour)), "/$hc/orders-hc?sb-hc-action=listen"); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("listen: %s", resp.Status)
	}
	if got := second.description(t); got != created {
		t.Errorf("the entity was made at %s, and now at %s", created, got)
	}

	// Another name needs another certificate, of the old CA; keys that are given are kept.
	second.end(syscall.SIGTERM)
	args[3] = "fabrikam.example"
	third := run(t, bin, slices.Insert(args, len(args)-1, "-send-key", "a2V5")...)
	third.roots = first.roots
	if _, resp := third.request(third.token(listener, time.Now().Add(time.Hour)), "/$hc/orders-hc?sb-hc-action=listen"); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("listen under another name: %s", resp.Status)
	}
	third.end(syscall.SIGTERM)
	if got := rule(run(t, bin, args...).line("HYCO_CONNECTION_0_CONNECTION_STRING=")).Key; got != "a2V5" {
		t.Errorf("the key given before is %q now", got)
	}
}

// description is when the entity orders-hc was made.
func (d *devrelay) description(t *testing.T) string {
	t.Helper()
	header := http.Header{"Authorization": {d.tokenText(rule(d.line("# listener orders-hc: ")), time.Now().Add(time.Hour))}}
	_, resp := d.request(header, "/orders-hc?api-version=2016-07")
	body := make([]byte, resp.ContentLength)
	if _, err := resp.Body.Read(body); err != nil && len(body) == 0 {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(body), "<CreatedAt>")
	at, _, _ := strings.Cut(rest, "</CreatedAt>")
	if at == "" {
		t.Fatalf("no CreatedAt in %s", body)
	}
	return at
}

func TestEachStateHasACAOfItsOwnSubject(t *testing.T) {
	bin := program(t, "hyco-devrelay")
	a := run(t, bin, "-listen", "127.0.0.1:0", "-state", t.TempDir(), "a-hc")
	b := run(t, bin, "-listen", "127.0.0.1:0", "-state", t.TempDir(), "b-hc")
	if x, y := a.ca.Subject.String(), b.ca.Subject.String(); x == y {
		t.Errorf("both have the subject %s", x)
	}
}

func TestStateThatIsOfNoUseIsOneLine(t *testing.T) {
	bin := program(t, "hyco-devrelay")
	good := t.TempDir()
	run(t, bin, "-listen", "127.0.0.1:0", "-state", good, "orders-hc").end(syscall.SIGKILL)
	text, err := os.ReadFile(filepath.Join(good, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	with := func(key string, value any) []byte {
		changed := map[string]any{}
		maps.Copy(changed, fields)
		if changed[key] = value; value == nil {
			delete(changed, key)
		}
		text, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const anew = "; remove it to begin anew"
	for name, tt := range map[string]struct {
		text      []byte // of state.json; nil = none
		dir, want string
	}{
		"half-written":          {text: text[:len(text)/2], want: "state.json is half-written or damaged"},
		"empty":                 {text: []byte{}, want: "state.json is half-written or damaged"},
		"of another version":    {text: with("version", 7), want: "state.json is of version 7, and this hyco-devrelay reads version 1" + anew},
		"without version":       {text: with("version", nil), want: "state.json is half-written or damaged"},
		"without authority":     {text: with("authority", nil), want: "state.json is half-written or damaged"},
		"another's certificate": {text: with("server", fields["authority"]), want: ""},
		"below a file":          {dir: file + "/state", want: "not a directory"},
		"a file":                {dir: file, want: "not a directory"},
		"not writable":          {dir: "/proc/hyco-state", want: "-state /proc/hyco-state: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tt.dir
			if dir == "" {
				dir = t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "state.json"), tt.text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := []string{"-listen", "127.0.0.1:0", "-state", dir, "orders-hc"}
			if tt.want == "" { // it is made anew, of the authority that is kept
				run(t, bin, args...)
				return
			}
			out := fails(t, bin, args...)
			if !strings.HasPrefix(out, "hyco-devrelay: -state "+dir) || !strings.Contains(out, tt.want) || strings.Count(out, "\n") != 1 {
				t.Errorf("got %q, want one line with %q", out, tt.want)
			}
		})
	}
}

func TestSIGTERMSaysCloseAndDrains(t *testing.T) {
	bin := program(t, "hyco-devrelay")
	d := run(t, bin, "-listen", "127.0.0.1:0", "-drain", "300ms", "-host", "localhost", "orders-hc=orders.corp.example:80@"+echo(t), "bare-hc")
	later := time.Now().Add(time.Hour)
	ctl, resp := d.request(d.token(rule(d.line("# listener bare-hc: ")), later), "/$hc/bare-hc?sb-hc-action=listen&sb-hc-id=l1")
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	c, resp := d.request(d.token(rule(d.line("HYCO_CONNECTION_0_CONNECTION_STRING=")), later), "/$hc/orders-hc?sb-hc-id=8a2f")
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	start := time.Now()
	d.cmd.Process.Signal(syscall.SIGTERM)
	wantClose := func(name string, read func() (ws.Header, []byte, error), code ws.StatusCode, reason string) {
		t.Helper()
		h, payload, err := read()
		gotCode, gotReason := ws.ParseCloseFrameData(payload)
		if err != nil || h.OpCode != ws.OpClose || gotCode != code || gotReason != reason {
			t.Errorf("%s: got %+v %d %q %v, want Close %d %q", name, h, gotCode, gotReason, err, code, reason)
		}
	}
	wantClose("control channel", ctl.ReadFrame, 1001, "The relay is shutting down. TrackingId:l1_G0")
	ctl.WriteClose(1001, "")
	c.WriteFrame(ws.OpBinary, true, []byte("still"))
	if got, _, err := c.ReadStream(5); err != nil || string(got) != "still" {
		t.Errorf("during the drain: %q %v", got, err)
	}
	wantClose("data socket", c.ReadFrame, 1011, "The relay is shutting down. TrackingId:8a2f_G0")
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("closed after %v, before the drain was over", took)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, d.stderr.String())
	}
}
