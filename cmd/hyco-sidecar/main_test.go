package main

import (
	"bytes"
	"net"
	"net/netip"
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

func TestConfigPrintsThePlan(t *testing.T) {
	code, stdout, stderr := execute(environ, "config")
	want := `ENDPOINT                 ADDRESS             HYBRID CONNECTION  NAMESPACE                       CREDENTIAL
sql01.corp.example:1433  127.77.133.98:1433  sql01-hc           contoso.servicebus.windows.net  key send
sql01.corp.example:1434  127.77.133.98:1434  sql01b-hc          contoso.servicebus.windows.net  key send
api.corp.example:443     127.77.110.147:443  api-hc             contoso.servicebus.windows.net  key send

resolver                     127.0.0.1:53
other names go to            10.0.0.10:53
addresses remembered for     30s
time to connect              30s
ping after silence of        30s
linger after one side ended  2m0s
idle time-out                off
connections at most          4096
warm connections             1
time to drain                25s
capture                      off
probes, metrics and status   127.0.0.1:8477
log                          info, auto
proxy                        none
`
	if code != 0 || stdout != want || stderr != "" {
		t.Errorf("got %d\n%s%s\nwant 0\n%s", code, stdout, stderr, want)
	}
}

func TestConfigPrintsHostsLines(t *testing.T) {
	code, stdout, _ := execute(environ, "config", "--hosts")
	if want := "127.77.133.98\tsql01.corp.example\n127.77.110.147\tapi.corp.example\n"; code != 0 || stdout != want {
		t.Errorf("got %d\n%s\nwant\n%s", code, stdout, want)
	}
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

func TestUpstreamOnAnAddressOfOursIsRefused(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || !prefix.Addr().Is4() || prefix.Addr().IsLoopback() {
			continue
		}
		env := append([]string{"HYCO_DNS_LISTEN=0.0.0.0:53"}, environ[:2]...)
		code, _, stderr := execute(append(env, "HYCO_DNS_UPSTREAMS="+prefix.Addr().String()), "config")
		if code != 2 || !strings.Contains(stderr, "HYCO_DNS_UPSTREAMS: "+prefix.Addr().String()+":53 is this sidecar itself") {
			t.Errorf("%s: got %d, %q", prefix.Addr(), code, stderr)
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
