// Command demo shows hyco-sidecar at work on one machine: a private HTTP server,
// a stand-in relay with a listener in front of that server, the sidecar, and an
// app that knows nothing but a host name. It needs the two programs in the
// folder named by its argument, and exits 0 when the app got its answer.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"hyco-sidecar/test/program"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo FOLDER-WITH-THE-PROGRAMS")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := demo(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
}

var step int

// say prints the next step.
func say(format string, args ...any) {
	step++
	fmt.Printf("\n%d. "+format+"\n", append([]any{step}, args...)...)
}

func note(text string) { fmt.Printf("     %s\n", text) }

func demo(ctx context.Context, programs string) error {
	// The private endpoint.
	private, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "order 4711 is on its way (you asked for http://%s%s)\n", r.Host, r.URL.Path)
	})}
	go server.Serve(private)
	defer server.Close()
	_, port, _ := net.SplitHostPort(private.Addr().String())
	endpoint := "orders.corp.example:" + port
	say("a private HTTP server listens on %s; only the listener is to reach it", private.Addr())

	// The relay and the listener, which stands in for a Hybrid Connection Manager.
	scratch, err := os.MkdirTemp("", "hyco-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	relay, err := start(programs, "hyco-devrelay", nil, "-listen", "127.0.0.1:0",
		"-ca-file", filepath.Join(scratch, "ca.pem"), "orders-hc="+endpoint+"@"+private.Addr().String())
	if err != nil {
		return err
	}
	defer stop(relay)
	settings, err := settings(ctx, relay)
	if err != nil {
		return err
	}
	say("a stand-in relay runs, with a listener for the hybrid connection orders-hc; they print the sidecar's settings")

	// The sidecar.
	dns, err := program.FreeAddress("127.0.0.1")
	if err != nil {
		return err
	}
	settings = append(settings, "HYCO_DNS_LISTEN="+dns, "HYCO_ADMIN_LISTEN=off", "HYCO_LOG_FORMAT=text")
	if runtime.GOOS != "linux" {
		settings = append(settings, "HYCO_CONNECTION_0_ADDRESS=127.0.0.1") // elsewhere the other loopback addresses need setting up
		server.Close()
	}
	for _, s := range settings {
		note(secret.ReplaceAllString(s, "${1}[not shown]"))
	}
	sidecar, err := start(programs, "hyco-sidecar", settings)
	if err != nil {
		return err
	}
	defer stop(sidecar)
	if _, err := sidecar.Await(ctx, &sidecar.Stderr, "msg=ready"); err != nil {
		return err
	}
	say("hyco-sidecar is ready; it is the resolver at %s", dns)

	// The app: its only setting is its resolver, as /etc/resolv.conf would say.
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, dns)
	}}
	addrs, err := resolver.LookupHost(ctx, "orders.corp.example")
	if err != nil {
		return err
	}
	say("the app looks up orders.corp.example")
	note(strings.Join(addrs, ", "))

	client := &http.Client{Transport: &http.Transport{
		DialContext:       (&net.Dialer{Resolver: resolver}).DialContext,
		DisableKeepAlives: true,
	}}
	url := "http://" + endpoint + "/orders/4711"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s, %v", url, resp.Status, err)
	}
	say("the app requests %s", url)
	note(resp.Status)
	note(strings.TrimSpace(string(body)))

	line, err := sidecar.Await(ctx, &sidecar.Stderr, "msg=\"connection closed\"")
	if err != nil {
		return err
	}
	say("the sidecar's log has one line for that connection")
	note(line)

	if err := stop(sidecar); err != nil {
		return err
	}
	say("told to stop, the sidecar drained and exited with code 0")
	return nil
}

var secret = regexp.MustCompile(`(SharedAccessKey=)[^;]*`)

// start starts one of our programs with these settings and with the caller's environment,
// but for settings in that. The caller stops it.
func start(folder, name string, settings []string, args ...string) (*program.Process, error) {
	environ := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "HYCO_") })
	return program.Start(program.Command{Path: filepath.Join(folder, name), Args: args, Env: append(environ, settings...)})
}

// stop ends a program, which has to end well. It may be called again.
func stop(p *program.Process) error {
	code, err := p.Stop(syscall.SIGTERM, 30*time.Second)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name(), err)
	}
	return nil
}

// settings waits until hyco-devrelay is ready and returns those that it has printed.
func settings(ctx context.Context, relay *program.Process) ([]string, error) {
	if _, err := relay.Await(ctx, &relay.Stdout, "# ready"); err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(relay.Stdout.String()), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "#") }), nil
}
