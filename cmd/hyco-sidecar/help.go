package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"hyco-sidecar/config"
)

// help says what the program does and lists every setting.
func help(w io.Writer) {
	fmt.Fprint(w, `hyco-sidecar gives the app beside it the endpoints of Azure Relay hybrid
connections, with the app unchanged.

Usage:
  hyco-sidecar [run]            serve until SIGTERM, then drain
  hyco-sidecar config           print the plan and the settings, without secrets
  hyco-sidecar config --hosts   print the stand-in addresses as lines of a hosts file
  hyco-sidecar version          print the version
  hyco-sidecar help             print this

Exit codes: 0 drained, 1 failed while running, 2 wrong settings or arguments.
A second SIGTERM or SIGINT ends the drain at once, with exit code 1.

Settings are environment variables; N counts from 0:

`)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range config.Settings() {
		meaning := s.Meaning
		if s.Default != "" {
			meaning += " (default: " + s.Default + ")"
		}
		fmt.Fprintf(tw, "  %s\t%s\n", s.Name, meaning)
	}
	tw.Flush()
	fmt.Fprint(w, `
Honoured as they are: HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, GOMEMLIMIT.
`)
}
