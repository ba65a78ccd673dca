package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"hyco-sidecar/config"
)

// commands are all of them, in the order of the help.
func commands() []command {
	return []command{{
		name:    "run",
		usage:   []string{"[run]"},
		summary: "serve until SIGTERM, then drain",
		about: `Settings are environment variables: see ` + "`hyco-sidecar help`" + `.
SIGTERM, SIGINT or POST /quitquitquit begins the drain; a second signal ends it
at once, with exit code 1.
`,
		run: runCommand,
	}, {
		name:    "config",
		usage:   []string{"config", "config --hosts"},
		summary: "print the plan and the settings, without secrets; --hosts: as lines of a hosts file",
		run:     configCommand,
	}, {
		name:    "check",
		usage:   []string{"check [--json] [--tls] [--all] [--probe KIND] [--timeout 60s] [host:port …]"},
		summary: "walk the way of an app's connection through the relay to the target",
		about:   checkAbout(),
		run:     checkCommand,
	}, {
		name:    "status",
		usage:   []string{"status [--json]"},
		summary: "print how the running sidecar's endpoints and resolver fare",
		about: `Asks the running sidecar at HYCO_ADMIN_LISTEN. --json prints what /api/status
says. Exit codes: 0 it answered, 1 it did not.
`,
		run: statusCommand,
	}, {
		name:    "healthcheck",
		usage:   []string{"healthcheck [livez|readyz|startupz]"},
		summary: "ask the running sidecar's probe, for images without a shell; readyz if none is named",
		about: `Asks the running sidecar at HYCO_ADMIN_LISTEN. Exit codes: 0 the probe says ok,
1 it does not, or nobody answers.
`,
		run: healthcheckCommand,
	}, {
		name:    "capture",
		usage:   []string{"capture install", "capture remove"},
		summary: "put the rules of HYCO_CAPTURE=redirect in place, or take them away",
		about: `For an init container that has the capability NET_ADMIN in the sidecar's place:
it takes the sidecar's settings. A sidecar that has the capability itself needs
neither. Exit codes: 0 done, 1 it could not be done.
`,
		run: captureCommand,
	}, {
		name:    "version",
		usage:   []string{"version"},
		summary: "print the version",
		run:     versionCommand,
	}}
}

// help says what the program does and lists every command and setting.
func help(w io.Writer) {
	fmt.Fprint(w, `hyco-sidecar gives the app beside it the endpoints of Azure Relay hybrid
connections, with the app unchanged.

Usage:
`)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		for i, usage := range c.usage {
			summary := c.summary
			if i > 0 {
				summary = ""
			}
			fmt.Fprintf(tw, "  hyco-sidecar %s\t%s\n", usage, summary)
		}
	}
	fmt.Fprint(tw, "  hyco-sidecar help [command]\tprint this, or more about a command\n")
	tw.Flush()
	fmt.Fprint(w, `
Exit codes: 0 drained or done, 1 failed, 2 wrong settings or arguments.

Settings are environment variables; N counts from 0:

`)
	for _, s := range config.Settings() {
		meaning := s.Meaning
		if s.Default != "" {
			meaning += " (default: " + s.Default + ")"
		}
		fmt.Fprintf(tw, "  %s\t%s\n", s.Name, meaning)
	}
	tw.Flush()
	fmt.Fprint(w, `
Honoured as they are: HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, GOMEMLIMIT,
and for Entra ID AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET,
AZURE_CLIENT_CERTIFICATE_PATH, AZURE_CLIENT_CERTIFICATE_PASSWORD,
AZURE_FEDERATED_TOKEN_FILE, AZURE_AUTHORITY_HOST, IDENTITY_ENDPOINT and
IDENTITY_HEADER.
`)
}

// help says what the command does.
func (c *call) help(w io.Writer) {
	c.printUsage(w)
	fmt.Fprintf(w, "\n%s\n", c.summary)
	if c.about != "" {
		fmt.Fprintf(w, "\n%s", c.about)
	}
}

func (c *call) printUsage(w io.Writer) {
	for i, usage := range c.usage {
		lead := "usage: "
		if i > 0 {
			lead = "       "
		}
		fmt.Fprintf(w, "%shyco-sidecar %s\n", lead, usage)
	}
}
