//go:build linux

package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// TestUnchangedApps drives what people really use through one sidecar, one
// relay and HCM-like listeners.
func TestUnchangedApps(t *testing.T) {
	world.Needs(t)
	w := world.New(t)
	w.Serve(t, w.Site, "http", "127.0.0.2:18080", "the orders of contoso")
	w.Serve(t, w.Site, "http", "127.0.0.2:19090", "the metrics of orders")
	w.Serve(t, w.Site, "http", "127.0.0.3:18080", "the bills of contoso")
	w.Serve(t, w.Site, "echo", "127.0.0.6:10007")
	w.Serve(t, w.Site, "stream", "127.0.0.6:10019")
	relay := w.Relay(t, world.Contoso,
		"orders-hc=orders.corp.example:8080@127.0.0.2:18080",
		"metrics-hc=orders.corp.example:9090@127.0.0.2:19090",
		"billing-hc=billing.corp.example:8080@127.0.0.3:18080",
		"sql01-hc=sql01.corp.example:5432@127.0.0.4:15432",
		"files-hc=files.corp.example:22@127.0.0.5:10022",
		"echo-hc=echo.corp.example:7@127.0.0.6:10007",
		"stream-hc=stream.corp.example:19@127.0.0.6:10019",
		"node-hc", // its listener is the Node client's
	)
	connections := append(relay.Connections[:7:7], relay.Entity(t, "node-hc", "node.corp.example:8080"))
	settings := append(w.Settings(t, connections, relay.CAFile), "HYCO_KEEPALIVE=1s")
	sidecar := w.Sidecar(t, settings...)
	pause := beginPause(t, w)

	t.Run("CurlNeedsNoChange", func(t *testing.T) { curlNeedsNoChange(t, w, sidecar) })
	t.Run("HostsSharePortsAndPortsShareHosts", func(t *testing.T) { hostsSharePorts(t, w) })
	t.Run("CurlMovesDataBothWays", func(t *testing.T) { curlMovesData(t, w, "orders.corp.example:8080", 20<<20) })
	t.Run("Names", func(t *testing.T) { namesResolve(t, w, sidecar, settings) })
	t.Run("PostgreSQL", func(t *testing.T) { postgresWorks(t, w) })
	t.Run("SecureCopy", func(t *testing.T) { secureCopyWorks(t, w) })
	t.Run("NodeListens", func(t *testing.T) { nodeListens(t, w, relay) })
	t.Run("NodeSends", func(t *testing.T) { nodeSends(t, w, relay) })
	t.Run("Pauses", func(t *testing.T) { pause.end(t) })
}

func curlNeedsNoChange(t *testing.T, w *world.World, s *world.Sidecar) {
	world.Needs(t, "curl")
	const want = "the orders of contoso\n"
	if got := w.Curl(t, "http://orders.corp.example:8080/"); got != want {
		t.Errorf("curl: got %q, want %q", got, want)
	}
	// HCM does not tell the server that curl has left, so nobody closes from
	// there: the sidecar must see by itself that the app is gone.
	got := s.AwaitClosed(t, "orders.corp.example:8080", 1)
	if got.Cause != "app_gone" || got.Up == 0 || got.Down == 0 || got.ID == "" || !strings.HasPrefix(got.Client, "127.") {
		t.Errorf("logged: %s", got.Line)
	}

	// Nobody but the tunnel gets there.
	if r := w.Run(t, w.App, world.Command{}, "curl", "-sS", "--max-time", "2", "http://127.0.0.2:18080/"); r.Code == 0 {
		t.Error("the private server can be reached without the tunnel")
	}
}

func hostsSharePorts(t *testing.T, w *world.World) {
	world.Needs(t, "curl")
	const format = "%{http_code} %{remote_port}\n"
	got := w.MustRun(t, w.App, world.Command{}, "curl", "-sS", "--parallel", "-w", format,
		"http://orders.corp.example:8080/", "-o", "orders.txt",
		"http://orders.corp.example:9090/", "-o", "metrics.txt",
		"http://billing.corp.example:8080/", "-o", "billing.txt")
	if n := strings.Count(got, "200 "); n != 3 {
		t.Errorf("%d of 3 requests succeeded:\n%s", n, got)
	}
	for file, want := range map[string]string{
		"orders.txt":  "the orders of contoso\n",
		"metrics.txt": "the metrics of orders\n",
		"billing.txt": "the bills of contoso\n",
	} {
		got, err := os.ReadFile(filepath.Join(w.Dir, file))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", file, got, err, want)
		}
	}
}

// curlMovesData downloads and uploads size bytes and compares checksums.
func curlMovesData(t *testing.T, w *world.World, address string, size int64) {
	world.Needs(t, "curl")
	body := w.MustRun(t, w.App, world.Command{}, "curl", "-sS", fmt.Sprintf("http://%s/blob?size=%d", address, size))
	if got, want := role.Sum([]byte(body)), role.PatternSum(0, size); got != want {
		t.Errorf("download: got %d bytes with SHA-256 %s, want %d with %s", len(body), got, size, want)
	}

	var upload bytes.Buffer
	if _, err := io.CopyN(&upload, role.Pattern(0), size); err != nil {
		t.Fatal(err)
	}
	got := w.MustRun(t, w.App, world.Command{Stdin: &upload}, "curl", "-sS", "--data-binary", "@-",
		"-H", "Expect:", fmt.Sprintf("http://%s/sum", address))
	if want := role.PatternSum(0, size) + "\n"; got != want {
		t.Errorf("upload: the server saw SHA-256 %q, want %q", got, want)
	}
}
