package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"

	"hyco-sidecar/config"
)

// configCommand prints what run would do, without secrets.
func configCommand(c *call, args []string) int {
	hosts := c.flags.Bool("hosts", false, "")
	if _, code, ok := c.parse(args, 0); !ok {
		return code
	}
	cfg, err := config.Load(c.environ)
	if err != nil {
		return c.failed(exitInvalid, err)
	}
	cfg, code, ok := c.discovered(context.Background(), cfg)
	if !ok {
		return code
	}
	if *hosts {
		printHosts(c.stdout, cfg)
		return exitOK
	}
	upstreams, err := chooseUpstreams(cfg, "/etc/resolv.conf", slog.New(slog.DiscardHandler))
	if err != nil {
		return c.failed(exitInvalid, err)
	}
	cfg.DNSUpstreams = upstreams
	printConfig(c.stdout, cfg)
	return exitOK
}

// printHosts prints a line per name, as /etc/hosts has them.
func printHosts(w io.Writer, cfg config.Config) {
	seen := make(map[string]bool)
	for _, c := range cfg.Connections {
		if !c.Literal && !seen[c.Host] {
			seen[c.Host] = true
			fmt.Fprintf(w, "%s\t%s\n", c.Address, c.Host)
		}
	}
}

// hybridConnection names it, and what listens there where that is no Hybrid
// Connection Manager.
func hybridConnection(c config.Connection) string {
	switch c.Listener {
	case config.Azbridge:
		return fmt.Sprintf("%s (azbridge, port %s)", c.Entity, c.PortName)
	case config.Aztunnel:
		return c.Entity + " (aztunnel)"
	}
	return c.Entity
}

// printConfig prints the plan and the settings.
func printConfig(w io.Writer, cfg config.Config) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ENDPOINT\tADDRESS\tHYBRID CONNECTION\tNAMESPACE\tCREDENTIAL")
	for _, e := range plan(cfg, nil) {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", e.name, e.listen, hybridConnection(e.Connection), e.Namespace, credentialsOf(e.Connection, kindOf(cfg)))
	}
	tw.Flush()
	fmt.Fprintln(w)
	none := func(list []string) string {
		if len(list) == 0 {
			return "none: other names get SERVFAIL"
		}
		return strings.Join(list, ", ")
	}
	idle := "off"
	if cfg.IdleTimeout > 0 {
		idle = cfg.IdleTimeout.String()
	}
	admin := "off"
	if cfg.AdminListen != nil {
		admin = strings.Join(texts(cfg.AdminListen), ", ")
	}
	captured := string(cfg.Capture)
	if cfg.Capture == config.Redirect {
		captured += fmt.Sprintf(", to port %d", cfg.CapturePort)
	}
	rows := [][2]string{
		{"resolver", strings.Join(texts(cfg.DNSListen), ", ")},
		{"other names go to", none(texts(cfg.DNSUpstreams))},
		{"addresses remembered for", cfg.DNSTTL.String()},
		{"time to connect", cfg.ConnectTimeout.String()},
		{"ping after silence of", cfg.KeepAlive.String()},
		{"linger after one side ended", cfg.Linger.String()},
		{"idle time-out", idle},
		{"connections at most", fmt.Sprint(cfg.MaxConnections)},
		{"warm connections", fmt.Sprint(cfg.WarmConnections)},
		{"time to drain", cfg.DrainTimeout.String()},
		{"capture", captured},
		{"probes, metrics and status", admin},
		{"log", strings.ToLower(cfg.LogLevel.String()) + ", " + cfg.LogFormat},
	}
	for _, row := range slices.Concat(rows, proxyRows(cfg)) {
		fmt.Fprintf(tw, "%s\t%s\n", row[0], row[1])
	}
	tw.Flush()
}
