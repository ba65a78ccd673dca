package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"hyco-sidecar/cmd/hyco-sidecar/credential"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
)

var configCommand = command{
	name:    "config",
	usage:   []string{"config", "config --hosts"},
	summary: "print the plan and the settings, without secrets; --hosts: as lines of a hosts file",
	run:     showPlan,
}

// showPlan prints what run would do, without secrets.
func showPlan(c *call, args []string) int {
	hosts := c.flags.Bool("hosts", false, "")
	if _, code, ok := c.parse(args, 0); !ok {
		return code
	}
	cfg, err := config.Load(c.environ)
	if err != nil {
		return c.fail(exitInvalid, err)
	}
	p, code, ok := c.plan(context.Background(), cfg)
	switch {
	case !ok:
		return code
	case *hosts:
		printHosts(c.stdout, p)
	default:
		printConfig(c.stdout, p)
	}
	return exitOK
}

// printHosts prints a line per name, as /etc/hosts has them.
func printHosts(w io.Writer, p plan.Plan) {
	seen := make(map[string]bool)
	for host, addr := range p.Names() {
		if !seen[host] {
			seen[host] = true
			fmt.Fprintf(w, "%s\t%s\n", addr, host)
		}
	}
}

// hybridConnection is the name of a hybrid connection, with the kind of its listener
// where that is no Hybrid Connection Manager.
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
func printConfig(w io.Writer, p plan.Plan) {
	cfg := p.Config
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ENDPOINT\tADDRESS\tHYBRID CONNECTION\tNAMESPACE\tCREDENTIAL")
	for _, e := range p.Endpoints {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", e.Name, e.Listen, hybridConnection(e.Connection), e.Namespace, credential.Names(e.Connection, credential.Kind(cfg)))
	}
	tw.Flush()
	fmt.Fprintln(w)
	idle := "off"
	if cfg.IdleTimeout > 0 {
		idle = cfg.IdleTimeout.String()
	}
	captured := string(cfg.Capture)
	if cfg.Capture == config.Redirect {
		captured += fmt.Sprintf(", to port %d", cfg.CapturePort)
	}
	rows := [][2]string{
		{"resolver", list(cfg.DNSListen, "")},
		{"other names go to", list(p.Upstreams, "none: other names get SERVFAIL")},
		{"addresses remembered for", cfg.DNSTTL.String()},
		{"time to connect", cfg.ConnectTimeout.String()},
		{"ping after silence of", cfg.KeepAlive.String()},
		{"linger after one side ended", cfg.Linger.String()},
		{"idle time-out", idle},
		{"connections at most", fmt.Sprint(cfg.MaxConnections)},
		{"warm connections", fmt.Sprint(cfg.WarmConnections)},
		{"time to drain", cfg.DrainTimeout.String()},
		{"capture", captured},
		{"probes, metrics and status", list(cfg.AdminListen, "off")},
		{"log", strings.ToLower(cfg.LogLevel.String()) + ", " + cfg.LogFormat},
	}
	for _, row := range slices.Concat(rows, proxyRows(cfg)) {
		fmt.Fprintf(tw, "%s\t%s\n", row[0], row[1])
	}
	tw.Flush()
}

// list writes addresses in one line; none is the text for no address.
func list(addrs []netip.AddrPort, none string) string {
	if len(addrs) == 0 {
		return none
	}
	all := make([]string, len(addrs))
	for i, a := range addrs {
		all[i] = a.String()
	}
	return strings.Join(all, ", ")
}

// proxyRows say which relay is reached through which proxy, or that none is.
func proxyRows(cfg config.Config) [][2]string {
	var rows [][2]string
	used := false
	for _, c := range cfg.Connections {
		label := "proxy to " + c.Namespace
		if slices.ContainsFunc(rows, func(row [2]string) bool { return row[0] == label }) {
			continue
		}
		proxy := plan.Proxy(c.Namespace)
		used = used || proxy != nil
		rows = append(rows, [2]string{label, describeProxy(proxy)})
	}
	if !used {
		return [][2]string{{"proxy", describeProxy(nil)}}
	}
	return rows
}

// describeProxy writes a proxy's URL without its credentials, and says whether it has
// any.
func describeProxy(proxy *url.URL) string {
	switch {
	case proxy == nil:
		return "none"
	case proxy.User != nil:
		return proxy.Scheme + "://" + proxy.Host + ", with credentials"
	}
	return proxy.Scheme + "://" + proxy.Host
}
