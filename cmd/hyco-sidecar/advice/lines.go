package advice

import (
	"errors"
	"syscall"
)

const (
	setUpstreams = "set HYCO_DNS_UPSTREAMS"
	// A process that ends so is started again by whoever supervises it.
	reportFault = "report it with this line; the process ends with exit code 1, and whoever supervises it starts another"
)

// lines are those of the log that warn, and others that say what to do, by their
// messages. Where there is no step, the line's labels or its error have one, or the
// line says by itself what is to be known.
var lines = []entry{
	// Names.
	{name: "no app has asked this resolver for a name since it started",
		next: "have /etc/resolv.conf in the app's container name this resolver and no other: in Kubernetes mount that file there " +
			"or set dnsPolicy None with dnsConfig, in docker compose share this container's network as well (network_mode)",
		otherwise: "if it does, the app looks elsewhere or remembers: an IP address in its settings, a hosts file, a resolver of its own, " +
			"answers from before this start. Give it the endpoint's name and restart it; if its hosts file has the lines of `hyco-sidecar config --hosts`, all is well"},
	{name: "an app asked for a name next to a configured one, and no resolver knows it", always: true,
		next: "if the configured one sends its clients there, as Kafka, MongoDB and Redis Cluster do: " +
			"create a hybrid connection whose endpoint is this name and its port, and add it (HYCO_CONNECTION_N_ENDPOINT or HYCO_ENDPOINTS)"},
	{name: "no resolver for other names: they get SERVFAIL", next: setUpstreams},
	{name: "DNS upstream does not answer"},
	{name: "DNS upstream leads back to this process and is not used", next: "set HYCO_DNS_UPSTREAMS to resolvers that do not forward to this sidecar"},
	{name: "DNS queries fail: too many open files", next: raiseLimit},
	{name: "DNS queries are refused: too many wait for upstreams"},
	{name: "DNS accept failed, retrying", facts: func(err error) string {
		if outOfFiles(err) {
			return raiseLimit
		}
		return ""
	}},

	// Connections.
	{name: "connection closed"},
	{name: "similar failures suppressed", next: "see the last line of such a connection; at level debug each has its own"},
	{name: "connections have to wait: the limit is reached", next: "raise HYCO_MAX_CONNECTIONS, or find out who keeps so many open"},
	{name: "accept failed, retrying", next: "nothing, if it stops by itself: connections wait in the kernel's queue meanwhile", facts: func(err error) string {
		if outOfFiles(err) {
			return raiseLimit + ": a connection takes two"
		}
		return ""
	}},

	// Credentials.
	{name: "the relay refused a credential, using the other",
		next: "renew the first connection string: it is tried again every few minutes, and at once when its file changes"},
	{name: "no token for a credential, using the other"},
	{name: "no new Entra ID token, the old one is still valid"},
	{name: "a changed secret is not used"}, // the line has the remedy of the setting's fault
	{name: "a ready-made signature ends soon", next: renewSignature},
	{name: "the hybrid connection's metadata names another endpoint", next: "restart the sidecar to use it"},

	// Captured connections.
	{name: "connections are not captured any more"},
	{name: "the capture rules were missing and have been restored",
		next: "find out what removes nftables' table hyco_sidecar: connections that began meanwhile went elsewhere"},
	{name: "the capture rules could not be removed", next: "remove them with `hyco-sidecar capture remove`, or start the sidecar again"},

	// The process.
	{name: "preflight"}, // each finding has its own step
	{name: "exiting at once"},
	{name: "a part of the program failed: draining"},
	{name: "a part of the program panicked", next: reportFault},
}

// outOfFiles reports whether the process, or the machine, may open no more files.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
