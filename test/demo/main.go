// Command demo shows hyco-sidecar at work on one machine: a private HTTP server,
// a stand-in relay with a listener in front of that server, the sidecar, and an
// app that knows nothing but a host name. It needs the two programs in the
// folder named by its argument, and exits 0 when the app got its answer.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
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

func note(text string) { fmt.Println("     " + text) }

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
	relay, err := start(ctx, programs, "hyco-devrelay", nil, "-listen", "127.0.0.1:0",
		"-ca-file", filepath.Join(scratch, "ca.pem"), "orders-hc="+endpoint+"@"+private.Addr().String())
	if err != nil {
		return err
	}
	defer relay.stop()
	settings, err := relay.settings()
	if err != nil {
		return err
	}
	say("a stand-in relay runs, with a listener for the hybrid connection orders-hc; they print the sidecar's settings")

	// The sidecar.
	dns, err := freePort()
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
	sidecar, err := start(ctx, programs, "hyco-sidecar", settings)
	if err != nil {
		return err
	}
	defer sidecar.stop()
	if err := sidecar.await("msg=ready"); err != nil {
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

	if err := sidecar.await("msg=\"connection closed\""); err != nil {
		return err
	}
	say("the sidecar's log has one line for that connection")
	note(sidecar.last)

	if err := sidecar.stop(); err != nil {
		return err
	}
	say("told to stop, the sidecar drained and exited with code 0")
	return nil
}

var secret = regexp.MustCompile(`(SharedAccessKey=)[^;]*`)

// program is one of ours at work.
type program struct {
	name   string
	cmd    *exec.Cmd
	stdout *bufio.Scanner
	stderr *bufio.Scanner
	last   string // the line of stderr that was waited for
}

func start(ctx context.Context, folder, name string, environ []string, args ...string) (*program, error) {
	p := &program{name: name, cmd: exec.CommandContext(ctx, filepath.Join(folder, name), args...)}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "HYCO_") {
			p.cmd.Env = append(p.cmd.Env, kv)
		}
	}
	p.cmd.Env = append(p.cmd.Env, environ...)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p.stdout, p.stderr = bufio.NewScanner(stdout), bufio.NewScanner(stderr)
	return p, p.cmd.Start()
}

// settings reads the lines that hyco-devrelay prints until it is ready.
func (p *program) settings() ([]string, error) {
	var settings []string
	for p.stdout.Scan() {
		switch line := p.stdout.Text(); {
		case line == "# ready":
			return settings, nil
		case !strings.HasPrefix(line, "#"):
			settings = append(settings, line)
		}
	}
	return nil, p.died()
}

// await reads the log until a line has text.
func (p *program) await(text string) error {
	for p.stderr.Scan() {
		if p.last = p.stderr.Text(); strings.Contains(p.last, text) {
			return nil
		}
	}
	return p.died()
}

// died reports a program that ended too early, with what it said.
func (p *program) died() error {
	said := []string{p.last}
	for p.stderr.Scan() {
		said = append(said, p.stderr.Text())
	}
	return errors.Join(fmt.Errorf("%s ended too early: %s", p.name, strings.Join(said, "\n")), p.stop())
}

// stop ends the program and returns how it ended. It may be called again.
func (p *program) stop() error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	for p.stderr.Scan() { // a full pipe would keep it from ending
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// freePort returns an address for the resolver that is free for UDP and TCP.
func freePort() (string, error) {
	for range 100 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := tcp.Addr().String()
		udp, err := net.ListenPacket("udp", addr)
		tcp.Close()
		if err == nil {
			udp.Close()
			return addr, nil
		}
	}
	return "", errors.New("no port is free for both UDP and TCP")
}
