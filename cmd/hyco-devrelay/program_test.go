package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/fakerelay/rawsender"
)

// devrelay is a hyco-devrelay at work.
type devrelay struct {
	t      *testing.T
	cmd    *exec.Cmd
	report []string // what it printed
	stderr lockedBuffer
	caFile string
	roots  *x509.CertPool
	ca     *x509.Certificate // the one in roots
	host   string            // name and port in its connection strings
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// run starts the program and waits until it is ready.
func run(t *testing.T, bin string, args ...string) *devrelay {
	t.Helper()
	d := &devrelay{t: t, cmd: exec.Command(bin, args...), roots: x509.NewCertPool()}
	d.cmd.Dir = t.TempDir() // the CA's default place
	d.cmd.Stderr = &d.stderr
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.end(syscall.SIGKILL) })
	killed := time.AfterFunc(time.Minute, func() { d.cmd.Process.Kill() })
	defer killed.Stop()
	for out := bufio.NewScanner(stdout); out.Scan(); {
		d.report = append(d.report, out.Text())
		if out.Text() == "# ready" {
			break
		}
	}
	if len(d.report) == 0 || d.report[len(d.report)-1] != "# ready" {
		t.Fatalf("not ready: %q\n%s", d.report, d.stderr.String())
	}
	d.caFile = d.line("HYCO_CA_FILE=")
	caPEM, err := os.ReadFile(d.caFile)
	if err != nil {
		t.Fatal(err)
	}
	d.roots.AppendCertsFromPEM(caPEM)
	if block, _ := pem.Decode(caPEM); block != nil {
		if d.ca, err = x509.ParseCertificate(block.Bytes); err != nil {
			t.Fatal(err)
		}
	}
	d.host, _, _ = strings.Cut(d.line("HYCO_CONNECTION_0_CONNECTION_STRING=Endpoint=sb://"), "/")
	return d
}

// line is the rest of the printed line that begins with prefix.
func (d *devrelay) line(prefix string) string {
	d.t.Helper()
	for _, line := range d.report {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return rest
		}
	}
	d.t.Fatalf("no line %q… in %q", prefix, d.report)
	return ""
}

func (d *devrelay) end(s syscall.Signal) error {
	if d.cmd.ProcessState != nil {
		return nil
	}
	d.cmd.Process.Signal(s)
	return d.cmd.Wait()
}

// rule is the rule in a connection string.
func rule(connectionString string) fakerelay.Rule {
	fields := map[string]string{}
	for part := range strings.SplitSeq(connectionString, ";") {
		name, value, _ := strings.Cut(part, "=")
		fields[name] = value
	}
	return fakerelay.Rule{Name: fields["SharedAccessKeyName"], Key: fields["SharedAccessKey"]}
}

// token is one of the rule for the whole namespace, that ends at the time.
func (d *devrelay) token(r fakerelay.Rule, ends time.Time) http.Header {
	return http.Header{"ServiceBusAuthorization": {d.tokenText(r, ends)}}
}

func (d *devrelay) tokenText(r fakerelay.Rule, ends time.Time) string {
	name, _, _ := net.SplitHostPort(d.host)
	return fakerelay.SAS("http://"+name+"/", r, ends)
}

// request sends a websocket handshake and returns the answer.
func (d *devrelay) request(header http.Header, target string) (*rawsender.Conn, *http.Response) {
	d.t.Helper()
	_, port, err := net.SplitHostPort(d.host)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), rawsender.Patience)
	defer cancel()
	c, resp, err := rawsender.Dialer{Addr: "127.0.0.1:" + port, Host: d.host, RootCAs: d.roots, Header: header}.Request(ctx, target)
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", target, err, d.stderr.String())
	}
	d.t.Cleanup(func() { c.TLS.Close() })
	return c, resp
}

// fails runs the program, which must end with code 2, and returns its words.
func fails(t *testing.T, bin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = t.TempDir()
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("%q: exit code %d, want 2\n%s", args, cmd.ProcessState.ExitCode(), out)
	}
	return string(out)
}

// built is the folder of the programs, empty until a test has needed one.
var built string

// programs are built once for all tests.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hyco-devrelay-test-")
	if err != nil {
		return "", err
	}
	built = dir
	cmd := exec.Command("go", "build", "-o", dir+"/", "hyco-sidecar/cmd/hyco-devrelay", "hyco-sidecar/cmd/hyco-sidecar")
	cmd.Stderr = os.Stderr
	return dir, cmd.Run()
})

func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}
