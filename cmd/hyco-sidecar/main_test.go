package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const connectionString = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0LWtleQ=="

var environ = []string{
	"HYCO_CONNECTION_STRING=" + connectionString,
	"HYCO_ENDPOINTS=sql01.corp.example:1433=sql01-hc,sql01.corp.example:1434=sql01b-hc,api.corp.example:443=api-hc",
	"HYCO_DNS_UPSTREAMS=10.0.0.10",
}

func execute(environ []string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, environ, &out, &err)
	return code, out.String(), err.String()
}

func TestWrongUseIsOneLine(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"serve"}, "hyco-sidecar: there is no command \"serve\": see `hyco-sidecar help`\n"},
		{[]string{"config", "--host"}, "hyco-sidecar config: flag provided but not defined: -host\nusage: hyco-sidecar config\n       hyco-sidecar config --hosts\n"},
		{[]string{"version", "now"}, "hyco-sidecar version: unexpected argument \"now\"\nusage: hyco-sidecar version\n"},
		{[]string{"run", "sql01"}, "hyco-sidecar run: unexpected argument \"sql01\"\nusage: hyco-sidecar [run]\n"},
		{[]string{"status", "--yaml"}, "hyco-sidecar status: flag provided but not defined: -yaml\nusage: hyco-sidecar status [--json]\n"},
		{[]string{"healthcheck", "healthz"}, "hyco-sidecar healthcheck: there is no probe \"healthz\"\nusage: hyco-sidecar healthcheck [livez|readyz|startupz]\n"},
		{[]string{"help", "me"}, "hyco-sidecar: there is no command \"me\": see `hyco-sidecar help`\n"},
	} {
		code, stdout, stderr := execute(environ, test.args...)
		if code != 2 || stdout != "" || stderr != test.want {
			t.Errorf("%v: got %d, %q, %q; want 2 and %q", test.args, code, stdout, stderr, test.want)
		}
	}
}

func TestWrongSettingsAreExitCode2(t *testing.T) {
	for _, args := range [][]string{nil, {"run"}, {"config"}, {"config", "--hosts"}} {
		code, stdout, stderr := execute([]string{"HYCO_DNS_TTL=30"}, args...)
		if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "hyco-sidecar: one setting needs attention:\n  HYCO_DNS_TTL: ") {
			t.Errorf("%v: got %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}} {
		code, stdout, stderr := execute(nil, args...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "HYCO_CONNECTION_N_CONNECTION_STRING_FILE") ||
			!strings.Contains(stdout, "HYCO_LINGER") {
			t.Errorf("%v: got %d, %q\n%s", args, code, stderr, stdout)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, c := range commands() {
		for _, args := range [][]string{{c.name, "--help"}, {c.name, "-h"}, {"help", c.name}} {
			code, stdout, stderr := execute(nil, args...)
			want := "usage: hyco-sidecar " + c.usage[0] + "\n"
			if code != 0 || stderr != "" || !strings.HasPrefix(stdout, want) || !strings.Contains(stdout, c.summary) {
				t.Errorf("%v: got %d, %q\n%s", args, code, stderr, stdout)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		if code, stdout, _ := execute(nil, arg); code != 0 || !strings.HasPrefix(stdout, "hyco-sidecar ") {
			t.Errorf("%s: got %d, %q", arg, code, stdout)
		}
	}
}

type badWriter struct{}

func (badWriter) Write([]byte) (int, error) { panic("provoked") }

// TestAPanicOfACommandIsOneLineAndExitCode1 has this test run once more, as a program
// of which a command panics.
func TestAPanicOfACommandIsOneLineAndExitCode1(t *testing.T) {
	const variable = "PROVOKE_A_PANIC"
	if os.Getenv(variable) != "" {
		run([]string{"version"}, nil, badWriter{}, os.Stderr)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = []string{variable + "=1", "TMPDIR=" + os.TempDir()}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	if out := stderr.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"panic":"provoked"`) {
		t.Errorf("got %q, want one line that tells of the panic", out)
	}
}
