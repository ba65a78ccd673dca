package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/logging"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
	"hyco-sidecar/dnsproxy"
	"hyco-sidecar/forwarder"
	"hyco-sidecar/relayclient"
)

// provocations make a part of the program panic with "provoked", and wait.
var provocations = map[string]func(t *testing.T, guarded func(f func()) func()){
	"the forwarder, while dialling": func(t *testing.T, guarded func(f func()) func()) {
		forward(t, &forwarder.Server{Guard: guarded, Dial: func(context.Context, forwarder.Request) (net.Conn, error) {
			panic("provoked")
		}})
	},
	"the forwarder, in a hook": func(t *testing.T, guarded func(f func()) func()) {
		forward(t, &forwarder.Server{
			Guard: guarded,
			Dial:  func(context.Context, forwarder.Request) (net.Conn, error) { return nil, errors.New("no relay") },
			Hooks: forwarder.Hooks{Closed: func(forwarder.Summary) { panic("provoked") }},
		})
	},
	"the forwarder, by a nil pointer": func(t *testing.T, guarded func(f func()) func()) {
		var missing *route
		forward(t, &forwarder.Server{Guard: guarded, Dial: func(context.Context, forwarder.Request) (net.Conn, error) {
			return nil, errors.New(missing.Name)
		}})
	},
	"a token source": func(t *testing.T, guarded func(f func()) func()) {
		r := routes{newClient: func(namespace string) *relayclient.Client {
			return &relayclient.Client{Namespace: namespace, Guard: guarded}
		}}
		r.apply([]plan.Endpoint{{Name: "sql01.corp.example:1433", Connection: config.Connection{Namespace: "contoso.servicebus.example"}}},
			func(e plan.Endpoint) route { return route{Endpoint: e, tokens: badTokens{}} })
		forward(t, &forwarder.Server{Guard: guarded, Dial: r.dial})
	},
	"the resolver, over UDP": func(t *testing.T, guarded func(f func()) func()) {
		resolve(t, "udp", &dnsproxy.Server{Guard: guarded, Hooks: dnsproxy.Hooks{Answered: func(dnsproxy.Answered) { panic("provoked") }}})
	},
	"the resolver, over TCP": func(t *testing.T, guarded func(f func()) func()) {
		resolve(t, "tcp", &dnsproxy.Server{Guard: guarded, Hooks: dnsproxy.Hooks{Answered: func(dnsproxy.Answered) { panic("provoked") }}})
	},
	"the resolver, while it asks": func(t *testing.T, guarded func(f func()) func()) {
		nobody, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nobody.Close()
		resolve(t, "udp", &dnsproxy.Server{
			Guard:     guarded,
			Upstreams: []netip.AddrPort{nobody.LocalAddr().(*net.UDPAddr).AddrPort()},
			Hooks:     dnsproxy.Hooks{Asked: func(dnsproxy.Asked) { panic("provoked") }},
		})
	},
	"the admin server, while it answers": func(t *testing.T, guarded func(f func()) func()) {
		operate(t, admin.Options{Guard: guarded}, http.MethodPost, "/quitquitquit")
	},
	"the admin server, while metrics are gathered": func(t *testing.T, guarded func(f func()) func()) {
		operate(t, admin.Options{Guard: guarded, Usage: func() dnsproxy.Usage { panic("provoked") }}, http.MethodGet, "/metrics")
	},
}

// badTokens is a token source whose author did not think of everything.
type badTokens struct{}

func (badTokens) Token(context.Context, string) (string, error) { panic(errors.New("provoked")) }

func forward(t *testing.T, s *forwarder.Server) {
	ln := listen(t)
	s.NewID = relayclient.NewID
	go func() { _ = s.Serve(t.Context(), forwarder.Listener{Listener: ln, Target: "sql01.corp.example:1433"}) }()
	if app, err := net.Dial("tcp", ln.Addr().String()); err == nil { // else it was reset already
		_, _ = io.Copy(io.Discard, app)
	}
	select {}
}

func resolve(t *testing.T, network string, s *dnsproxy.Server) {
	ln := listen(t)
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	for range 10 { // somebody may have the port for the other protocol
		if err == nil {
			break
		}
		ln = listen(t)
		pc, err = net.ListenPacket("udp", ln.Addr().String())
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(t.Context(), []net.PacketConn{pc}, []net.Listener{ln}) }()
	client := dns.Client{Net: network, Timeout: time.Minute}
	_, _, _ = client.Exchange(new(dns.Msg).SetQuestion("www.example.", dns.TypeA), ln.Addr().String())
	select {}
}

func operate(t *testing.T, o admin.Options, method, path string) {
	ln := listen(t)
	s := &admin.Server{Monitor: admin.NewMonitor(o), Quit: func() { panic("provoked") }}
	go func() { _ = s.Serve(t.Context(), ln) }()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+ln.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
	select {}
}

func listen(t *testing.T) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

const provokeVariable = "PROVOKE_A_PANIC_OF"

// TestAPanicIsOneLineAndExitCode1 has this test run once more for each part, as a
// program in which that part panics.
func TestAPanicIsOneLineAndExitCode1(t *testing.T) {
	if part := os.Getenv(provokeVariable); part != "" {
		provocations[part](t, logging.Guard(logging.New(os.Stderr, slog.LevelInfo, os.Getenv("FORMAT"))))
	}
	for part := range provocations {
		for _, format := range []string{"json", "text"} {
			t.Run(part+" ("+format+")", func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestAPanicIsOneLineAndExitCode1$")
				cmd.Env = []string{provokeVariable + "=" + part, "FORMAT=" + format, "TMPDIR=" + os.TempDir()}
				var stderr strings.Builder
				cmd.Stderr = &stderr
				_ = cmd.Run()
				if code := cmd.ProcessState.ExitCode(); code != 1 {
					t.Errorf("exit code %d, want 1", code)
				}
				wantPanicLine(t, stderr.String(), format == "json")
			})
		}
	}
}

// wantPanicLine wants exactly one line, with all that a report needs.
func wantPanicLine(t *testing.T, out string, isJSON bool) {
	t.Helper()
	if strings.Count(out, "\n") != 1 {
		t.Fatalf("got %d lines, want 1:\n%s", strings.Count(out, "\n"), out)
	}
	for _, want := range []string{"a part of the program panicked", "provoked", "_test.go:", "docs/troubleshooting.md#a-part-of-the-program-panicked"} {
		if !strings.Contains(out, want) && !(want == "provoked" && strings.Contains(out, "nil pointer")) {
			t.Errorf("the line lacks %q:\n%s", want, out)
		}
	}
	var line struct{ Level, Msg, Panic, Stack string }
	if isJSON {
		if err := json.Unmarshal([]byte(out), &line); err != nil || line.Level != "ERROR" || line.Panic == "" || strings.Contains(line.Stack, "raise(") {
			t.Errorf("got %s (%v)", out, err)
		}
	}
}
