package credential

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
)

// signed is a connection string with a signature that ends at se.
func signed(se string) string {
	return "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessSignature=SharedAccessSignature sr=contoso&sig=c2ln&se=" + se + "&skn=send"
}

// transcript is a log that is read while it is written.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// signedEndpoints share a signature that ends after left.
func signedEndpoints(t *testing.T, left time.Duration) ([]string, config.Config) {
	t.Helper()
	environ := []string{
		"HYCO_CONNECTION_STRING=" + signed(fmt.Sprint(time.Now().Add(left).Unix())),
		"HYCO_ENDPOINTS=sql01.corp.example:1433=sql01-hc,api.corp.example:443=api-hc",
	}
	cfg, err := config.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	return environ, cfg
}

func TestSignatureThatEndsIsToldOfAheadAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		environ, cfg := signedEndpoints(t, 72*time.Hour)
		var log transcript
		s := New(Options{Environ: environ, Identities: NewIdentities(cfg, identity.Options{}), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		s.Apply(plan.New(cfg, nil))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.WatchExpiry(ctx)
		}()
		for _, step := range []struct {
			pass time.Duration
			want int // lines until then, whatever the number of endpoints
		}{
			{0, 0}, {47 * time.Hour, 0}, {2 * time.Hour, 1}, {21 * time.Hour, 1}, {90 * time.Minute, 2}, {time.Hour, 3}, {48 * time.Hour, 3},
		} {
			time.Sleep(step.pass)
			synctest.Wait()
			if got := strings.Count(log.String(), `level=WARN msg="a ready-made signature ends soon" variable=HYCO_CONNECTION_STRING`); got != step.want {
				t.Fatalf("%v later: got %d lines, want %d\n%s", step.pass, got, step.want, log.String())
			}
		}
		cancel()
		<-ended
		if strings.Contains(log.String(), "c2ln") {
			t.Error("the log shows the signature")
		}
	})
}
