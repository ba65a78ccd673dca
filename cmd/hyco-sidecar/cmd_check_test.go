package main

import (
	"strings"
	"testing"
)

func TestWrongUseOfCheckIsOneLineAndUsage(t *testing.T) {
	const usage = "usage: hyco-sidecar check [--json] [--tls] [--all] [--probe KIND] [--timeout 60s] [host:port …]\n"
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--jsn"}, "flag provided but not defined: -jsn"},
		{[]string{"sql01.corp.example"}, `"sql01.corp.example" is not host:port`},
		{[]string{"sql01.corp.example:1433", "--tsl"}, "flag provided but not defined: -tsl"},
		{[]string{"--probe", "ldap"}, `--probe "ldap": choose one of auto, none, banner, http, tls, postgres, mssql`},
		{[]string{"--tls", "--probe=http"}, "--tls and --probe http exclude each other"},
		{[]string{"--timeout", "soon"}, `invalid value "soon" for flag -timeout: `},
		{[]string{"--timeout", "-1s"}, "--timeout: must be above 0"},
		{[]string{"--all", "sql01.corp.example:1433"}, "--all and names exclude each other"},
	} {
		code, stdout, stderr := execute(environ, append([]string{"check"}, test.args...)...)
		line, rest, _ := strings.Cut(stderr, "\n")
		if code != 2 || stdout != "" || !strings.HasPrefix(line, "hyco-sidecar check: "+test.want) || rest != usage {
			t.Errorf("%q: got %d, %q, %q; want 2, %q and the usage", test.args, code, stdout, stderr, test.want)
		}
	}
}

func TestCheckNeedsSettings(t *testing.T) {
	code, stdout, stderr := execute([]string{"HYCO_DNS_TTL=30"}, "check")
	if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "hyco-sidecar: one setting needs attention:\n  HYCO_DNS_TTL: ") {
		t.Errorf("got %d, %q, %q", code, stdout, stderr)
	}
}

func TestCheckOfANameThatIsNotConfigured(t *testing.T) {
	code, stdout, stderr := execute(environ, "check", "sql02.corp.example:1433")
	if code != 2 || !strings.HasPrefix(stderr, "hyco-sidecar check: endpoint not configured: the report names it\nusage: ") || !strings.Contains(stdout, "sql01.corp.example:1433, sql01.corp.example:1434, api.corp.example:443") {
		t.Errorf("got %d, %q, %q; want 2 and the names that are", code, stdout, stderr)
	}
}

func TestHelpOfCheckListsItsExitCodes(t *testing.T) {
	code, stdout, stderr := execute(nil, "check", "--help")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "\n  81   no_listener\n") || !strings.Contains(stdout, "--probe KIND") {
		t.Errorf("got %d, %q\n%s", code, stderr, stdout)
	}
}
