package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/fakerelay/rawsender"
)

// build makes the program and returns its path.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "hyco-devrelay")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// echo is a target that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 1024)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					c.Write(buf[:n])
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func TestPrintsWhatTheSidecarNeedsAndServesIt(t *testing.T) {
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, build(t), "-listen", "127.0.0.1:0", "-host", "contoso.servicebus.example,127.0.0.1",
		"-ca-file", caFile, "-send-key", "a2V5", "orders-hc=orders.corp.example:8080@"+echo(t), "bare/hc")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for out := bufio.NewScanner(stdout); out.Scan(); {
		lines = append(lines, out.Text())
		if out.Text() == "# ready" {
			break
		}
	}
	got := regexp.MustCompile(`:\d{4,5}/`).ReplaceAllString(strings.Join(lines, "\n"), ":PORT/")
	got = regexp.MustCompile(`(defaultListener;SharedAccessKey=)[A-Za-z0-9+/]{43}=`).ReplaceAllString(got, "${1}RANDOM")
	want := `HYCO_CA_FILE=` + caFile + `
HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:8080
HYCO_CONNECTION_0_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.example:PORT/;SharedAccessKeyName=defaultSender;SharedAccessKey=a2V5;EntityPath=orders-hc
# listener orders-hc: Endpoint=sb://contoso.servicebus.example:PORT/;SharedAccessKeyName=defaultListener;SharedAccessKey=RANDOM;EntityPath=orders-hc
HYCO_CONNECTION_1_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.example:PORT/;SharedAccessKeyName=defaultSender;SharedAccessKey=a2V5;EntityPath=bare/hc
# listener bare/hc: Endpoint=sb://contoso.servicebus.example:PORT/;SharedAccessKeyName=defaultListener;SharedAccessKey=RANDOM;EntityPath=bare/hc
# ready`
	if got != want {
		t.Fatalf("got\n%s\nwant\n%s\nstderr\n%s", got, want, &stderr)
	}

	caPEM, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	host := regexp.MustCompile(`sb://([^/]+)/`).FindStringSubmatch(strings.Join(lines, "\n"))[1]
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	token := fakerelay.SAS("http://contoso.servicebus.example/orders-hc/", fakerelay.Rule{Name: "defaultSender", Key: "a2V5"}, time.Now().Add(time.Hour))
	c, resp, err := rawsender.Dialer{
		Addr: "127.0.0.1:" + port, Host: host, RootCAs: roots,
		Header: http.Header{"ServiceBusAuthorization": {token}},
	}.Request(ctx, "/$hc/orders-hc?sb-hc-action=connect&sb-hc-id=8a2f")
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	defer c.TLS.Close()
	c.WriteFrame(ws.OpBinary, true, []byte("hello"))
	if got, _, err := c.ReadStream(5); err != nil || string(got) != "hello" {
		t.Errorf("got %q %v", got, err)
	}

	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if strings.Contains(stderr.String(), "a2V5") || strings.Contains(stderr.String(), "sig=") {
		t.Errorf("a key or token is in the log:\n%s", &stderr)
	}
}

func TestFaultyArgumentsAreReportedTogether(t *testing.T) {
	cmd := exec.Command(build(t), "-listen", "8443", "-personality", "kind", "-accept-timeout", "0s", "-send-key", "top secret",
		"orders-hc=orders.corp.example", "orders-hc", "-bad-", "/lead", "a=:80", "b=host:99999")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("%v, want exit code 2", err)
	}
	for _, want := range []string{
		`-listen "8443"`, `-personality "kind": choose one of hcm, hcm-v2-service, halfclose, dotnet-raw, azbridge, aztunnel, node, reject, never-rendezvous`, `-accept-timeout 0s`, `-send-key: `,
		`"orders-hc=orders.corp.example": write ENTITY=HOST:PORT`, `"/lead": `, `"a=:80": `, `"b=host:99999": `,
	} {
		if !strings.Contains(string(out), "hyco-devrelay: "+want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "top secret") {
		t.Errorf("the report shows a key:\n%s", out)
	}
}

func TestUnknownFlagAndHelp(t *testing.T) {
	bin := build(t)
	cmd := exec.Command(bin, "-port", "1")
	out, _ := cmd.CombinedOutput()
	if want := "hyco-devrelay: flag provided but not defined: -port; see hyco-devrelay -h\n"; cmd.ProcessState.ExitCode() != 2 || string(out) != want {
		t.Errorf("exit code %d, %q, want 2, %q", cmd.ProcessState.ExitCode(), out, want)
	}
	cmd = exec.Command(bin, "-h")
	if out, _ = cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 0 || !strings.Contains(string(out), "NOT for production") {
		t.Errorf("exit code %d, %q", cmd.ProcessState.ExitCode(), out)
	}
}

func TestPortInUseIsAFailure(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cmd := exec.Command(build(t), "-listen", ln.Addr().String(), "-ca-file", filepath.Join(t.TempDir(), "ca.pem"), "orders-hc")
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "address already in use") {
		t.Errorf("exit code %d, %s", cmd.ProcessState.ExitCode(), out)
	}
}
