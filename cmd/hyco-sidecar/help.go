package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"hyco-sidecar/config"
)

// commands are all of them, in the order of the help.
func commands() []command {
	return []command{runCommand, configCommand, checkCommand, statusCommand, healthcheckCommand, captureCommand, versionCommand}
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
