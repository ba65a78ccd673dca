package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"hyco-sidecar/test/fakerelay"
	"hyco-sidecar/test/program"
)

// cacheSize is the sidecar's default, in entries.
const cacheSize = 4096

// ownTTL is how long own names may be remembered, in seconds: the sidecar's
// default.
const ownTTL = 30

// server is one of the resolvers at work.
type server struct {
	*program.Process
	name    string
	address netip.AddrPort
}

// servers starts all of them, in the order of the columns.
func (w *world) servers(ctx context.Context) ([]*server, error) {
	type candidate struct {
		name    string
		command func(listen netip.AddrPort) (program.Command, error)
		ready   string // a part of the line on stderr that says so
	}
	candidates := []candidate{
		sidecar: {"sidecar", w.sidecar, `"msg":"ready"`},
		dnsmasq: {"dnsmasq", w.dnsmasq, ": started, version"},
		unbound: {"unbound", w.unbound, "start of service"},
	}
	if w.against != "" {
		candidates = []candidate{candidates[sidecar], {"before", w.before, `"msg":"ready"`}}
	}
	var all []*server
	for _, s := range candidates {
		address, err := program.FreeAddress(w.loopback.IP())
		if err != nil {
			return nil, err
		}
		listen, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		command, err := s.command(listen)
		if err != nil {
			return nil, err
		}
		p, err := w.Start(command)
		if err != nil {
			return nil, err
		}
		if _, err := p.Await(ctx, &p.Stderr, s.ready); err != nil {
			return nil, err
		}
		all = append(all, &server{Process: p, name: s.name, address: listen})
	}
	return all, nil
}

// end stops servers that have done their part. A sidecar that does not end as it
// should is an error.
func (w *world) end(servers []*server) error {
	for i, s := range servers {
		code, err := s.Stop(syscall.SIGTERM, 10*time.Second)
		if i == sidecar && (code != 0 || err != nil) {
			return fmt.Errorf("the sidecar ended with exit code %d, %v\n%s", code, err, s.Stderr.Tail(4000))
		}
	}
	return nil
}

// sidecar is hyco-sidecar with its defaults. Nobody connects to the names.
func (w *world) sidecar(listen netip.AddrPort) (program.Command, error) {
	send := fakerelay.Rule{Name: "send", Key: "c2VjcmV0"}
	env := []string{
		"HYCO_DNS_LISTEN=" + listen.String(),
		"HYCO_ADMIN_LISTEN=off",
		"HYCO_DNS_UPSTREAMS=" + w.upstream,
		"HYCO_DRAIN_TIMEOUT=100ms",
	}
	for i, name := range w.names.own {
		n := fmt.Sprintf("HYCO_CONNECTION_%d_", i)
		env = append(env,
			n+"ENDPOINT="+name+":1433",
			n+"CONNECTION_STRING="+fakerelay.ConnectionString("127.0.0.1:9", fakerelay.Entity{Path: "db"}, send),
			n+"ADDRESS="+w.addresses[name])
	}
	return program.Command{Path: filepath.Join(w.scratch, "hyco-sidecar"), Env: env}, nil
}

// before is the earlier sidecar with the same settings, but for the ports of its endpoints,
// which the other one has bound.
func (w *world) before(listen netip.AddrPort) (program.Command, error) {
	command, err := w.sidecar(listen)
	command.Path = w.against
	for i, setting := range command.Env {
		if name, ok := strings.CutSuffix(setting, ":1433"); ok {
			command.Env[i] = name + ":1434"
		}
	}
	return command, err
}

// dnsmasq has a cache as large as the sidecar's, and room for what is asked at
// once.
func (w *world) dnsmasq(listen netip.AddrPort) (program.Command, error) {
	upstream := netip.MustParseAddrPort(w.upstream) // the kernel's
	lines := []string{
		"keep-in-foreground", "log-facility=-", "pid-file=", "no-resolv", "no-hosts", "no-poll",
		"bind-interfaces", fmt.Sprintf("listen-address=%v", listen.Addr()), fmt.Sprintf("port=%d", listen.Port()),
		fmt.Sprintf("server=%v#%d", upstream.Addr(), upstream.Port()),
		fmt.Sprintf("cache-size=%d", cacheSize), "dns-forward-max=1000",
		fmt.Sprintf("local-ttl=%d", ownTTL),
	}
	if os.Getuid() == 0 {
		// As another user it would no more be killed when this program ends.
		lines = append(lines, "user=root", "group=root")
	}
	for _, name := range w.names.own {
		lines = append(lines, fmt.Sprintf("address=/%s/%s", name, w.addresses[name]))
	}
	file, err := w.file("dnsmasq.conf", lines)
	return program.Command{Path: w.tools.dnsmasq, Args: []string{"--conf-file=" + file}}, err
}

// unbound has a thread for each processor, its default cache, and no validation.
func (w *world) unbound(listen netip.AddrPort) (program.Command, error) {
	lines := []string{
		"server:",
		`username: ""`, `chroot: ""`, `pidfile: ""`, fmt.Sprintf("directory: %q", w.scratch), "use-syslog: no", `logfile: ""`,
		fmt.Sprintf("interface: %v@%d", listen.Addr(), listen.Port()),
		"access-control: 127.0.0.0/8 allow",
		fmt.Sprintf("num-threads: %d", runtime.NumCPU()),
		`module-config: "iterator"`, "prefetch: no", "do-not-query-localhost: no",
	}
	for _, name := range w.names.own {
		lines = append(lines, fmt.Sprintf(`local-data: "%s. %d IN A %s"`, name, ownTTL, w.addresses[name]))
	}
	lines = append(lines,
		"remote-control:", "control-enable: no",
		"forward-zone:", `name: "."`, "forward-addr: "+strings.Replace(w.upstream, ":", "@", 1))
	file, err := w.file("unbound.conf", lines)
	return program.Command{Path: w.tools.unbound, Args: []string{"-d", "-p", "-c", file}}, err
}

// file writes lines to a file in the scratch folder and returns its path.
func (w *world) file(name string, lines []string) (string, error) {
	path := filepath.Join(w.scratch, name)
	return path, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}
