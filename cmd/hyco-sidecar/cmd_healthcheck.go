package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"hyco-sidecar/config"
)

var healthcheckCommand = command{
	name:    "healthcheck",
	usage:   []string{"healthcheck [livez|readyz|startupz]"},
	summary: "ask the running sidecar's probe, for images without a shell; readyz if none is named",
	about: `Asks the running sidecar at HYCO_ADMIN_LISTEN. Exit codes: 0 the probe says ok,
1 it does not, or nobody answers.
`,
	run: askProbe,
}

// askProbe passes a probe's answer on as an exit code.
func askProbe(c *call, args []string) int {
	rest, code, ok := c.parse(args, 1)
	if !ok {
		return code
	}
	probe := "readyz"
	if len(rest) == 1 {
		probe = strings.TrimPrefix(rest[0], "/")
	}
	switch probe {
	case "livez", "readyz", "startupz":
	default:
		return c.rejectArgs(fmt.Errorf("there is no probe %q", probe))
	}
	status, body, err := c.ask("/" + probe)
	switch {
	case errors.As(err, new(*config.Fault)):
		return c.fail(exitInvalid, err)
	case err != nil:
		return c.fail(exitFailed, err)
	case status != http.StatusOK:
		return c.fail(exitFailed, fmt.Errorf("%s: %s", probe, strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", "; ")))
	}
	if answer := string(body); answer != "ok\n" {
		return c.fail(exitFailed, fmt.Errorf("that server is not a hyco-sidecar: it says %.40q", answer))
	}
	fmt.Fprintln(c.stdout, "ok")
	return exitOK
}
