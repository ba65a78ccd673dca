package manifests_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestComposeExampleCarriesARequest runs the compose file's commands with its
// settings, files and users, in the order it asks for and waiting for its health
// checks, where there is no engine: two network namespaces stand for its networks,
// a folder for each image, and a small DNS server for Docker's.
func TestComposeExampleCarriesARequest(t *testing.T) {
	p := composeProject(t)
	w := newEngine(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	running := make(map[string]*container)
	for _, name := range startOrder(t, p) {
		running[name] = w.start(t, p, name)
		healthy(ctx, t, running[name])
	}
	app, sidecar := running["app"].process, running["hyco-sidecar"].process
	if _, err := app.Await(ctx, &app.Stdout, "order 4711 is on its way"); err != nil {
		t.Fatalf("%v\nthe sidecar:\n%s", err, sidecar.Stderr.Tail(4000))
	}
	line, err := sidecar.Await(ctx, &sidecar.Stderr, `"msg":"connection closed"`)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(line, `"endpoint":"orders.corp.example:8080"`) {
		t.Errorf("the sidecar's line is %s", line)
	}

	out, _ := running["app"].exec(ctx, t, []string{"nslookup", "devrelay", "127.0.0.1"})
	if !strings.Contains(out, outsideRelay) {
		t.Errorf("names of other services do not work in the app:\n%s", out)
	}

	if code, err := sidecar.Stop(syscall.SIGTERM, 30*time.Second); code != 0 || err != nil {
		t.Errorf("told to stop, the sidecar exits with %d, %v:\n%s", code, err, sidecar.Stderr.Tail(4000))
	}
}
