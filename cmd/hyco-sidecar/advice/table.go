package advice

// entry is what is known of one label, or of one line of the log.
type entry struct {
	name      string                 // the label, or the line's message
	next      string                 // what to do; empty: nothing, or facts says it
	facts     func(err error) string // what to do by the facts of err, nil included; it goes before next unless it returns ""
	otherwise string                 // what else the line may mean
	always    bool                   // the line has its next step at every level

	stage   string // of check, where the label is one of its verdicts
	exit    int    // the exit code of check, where the label is one of its verdicts
	verdict string // what check comes to, where that has another label

	see string // set for all entries by index
}

// about is what to do. There is nothing to do about what is not known.
func (e *entry) about(err error) string {
	if e == nil {
		return ""
	}
	if e.facts != nil {
		if next := e.facts(err); next != "" {
			return next
		}
	}
	return e.next
}

// The stages of check that verdicts belong to.
const (
	configuration = "configuration"
	resolver      = "resolver"
	socket        = "socket"
	relayName     = "relay name"
	relayPort     = "relay port"
	relayTLS      = "relay TLS"
	token         = "token"
	listener      = "listener"
	target        = "target"
)

// verdicts are the labels that check comes to, by exit code. Codes are spaced by
// stage; 1 is a check that failed itself, 2 stands for settings and arguments, as
// with every command. Most verdicts are reasons of failed dials as well. Where
// there is no step, check says what to do by what it saw, or there is nothing.
var verdicts = []entry{
	{name: "healthy", exit: 0},
	{name: "too_many_files", exit: 1, stage: relayPort, next: raiseLimit},
	{name: "unfinished", exit: 1},
	{name: "name_not_configured", exit: 2, stage: configuration},
	{name: "dns_not_reaching", exit: 20, stage: resolver},
	{name: "dns_wrong_address", exit: 21, stage: resolver},
	{name: "listener_not_bound", exit: 30, stage: socket},
	{name: "capture_missing", exit: 31, stage: socket,
		next: "run `hyco-sidecar capture install` with NET_ADMIN and the settings of the sidecar, in its network namespace"},
	{name: "relay_name_unknown", exit: 40, stage: relayName,
		next: "check Endpoint in the connection string, and the nameservers in the sidecar's own /etc/resolv.conf"},
	{name: "relay_unreachable", exit: 50, stage: relayPort, facts: dial(allowTCP)},
	{name: "proxy_failed", exit: 51, stage: relayPort, facts: dial(correctProxy)},
	{name: "proxy_unreachable", exit: 52, stage: relayPort, facts: dial(reachProxy)},
	{name: "proxy_refused", exit: 53, stage: relayPort, facts: dial(openProxy)},
	{name: "proxy_unauthorized", exit: 54, stage: relayPort, facts: dial(authorizeAtProxy)},
	{name: "proxy_no_answer", exit: 55, stage: relayPort, facts: dial(wakeProxy)},
	{name: "tls_untrusted", exit: 60, stage: relayTLS,
		next: "name the certificate authority of whoever terminates TLS on the way in HYCO_CA_FILE"},
	{name: "tls_failed", exit: 61, stage: relayTLS, facts: dial(dontInterceptTLS)},
	{name: "unauthorized", exit: 70, stage: token, facts: dial(authorize)},
	{name: "token_expired", exit: 71, stage: token, facts: dial(renewToken)},
	{name: "clock_wrong", exit: 72, stage: token, facts: dial(setClock), next: "set this machine's clock: tokens are signed by it"},
	{name: "wrong_audience", exit: 73, stage: token, facts: dial(useRightToken)},
	{name: "address_blocked", exit: 74, stage: token,
		next: "allow this machine's public address in the namespace's networking settings"},
	{name: "token_failed", exit: 75, stage: token, facts: getToken},
	{name: "unknown_entity", exit: 80, stage: listener, facts: dial(checkEntity)},
	{name: "no_listener", exit: 81, stage: listener, facts: dial(startListener)},
	{name: "listener_rejected", exit: 82, stage: listener, next: "ask whoever runs the listener why it rejects"},
	{name: "not_accepted", exit: 83, stage: listener,
		next: "restart the Hybrid Connection Manager, and check that it may reach the relay's gateway hosts on port 443"},
	{name: "relay_unavailable", exit: 84, stage: listener, next: "wait, or quote the tracking id to Azure support"},
	{name: "not_a_relay", exit: 85, stage: listener, facts: dial(findRelay)},
	{name: "no_answer", exit: 86, stage: listener, facts: dial(findAnswer)},
	{name: "listener_mismatch", exit: 87, stage: listener},
	{name: "target_unreachable", exit: 90, stage: target},
	{name: "target_silent", exit: 91, stage: target},
	{name: "target_tls_failed", exit: 92, stage: target},
}

const (
	raiseLimit  = "raise the limit of open files (ulimit -n)"
	reachTarget = "check from the Hybrid Connection Manager's machine that it resolves the endpoint's name and reaches its port"
	otherHost   = "check that the listener's machine has a way to it"

	renewSignature = "write a new SharedAccessSignature, or a key from which tokens are made as they are needed"
)

// reasons are the other labels: causes of connections' ends, reasons of failed
// dials, and what is found at the start.
var reasons = []entry{
	// How connections end.
	{name: "closed"},
	{name: "remote_closed"},
	{name: "app_reset"},
	{name: "app_gave_up"},
	{name: "app_gone"},
	{name: "dial_failed"}, // its reason says what to do
	{name: "tunnel_dropped"},
	{name: "target_unreachable_suspected", next: reachTarget},
	{name: "closed_without_data", next: reachTarget},
	{name: "lingered"},
	{name: "idle_timeout"},
	{name: "shutdown"},

	// Dials.
	{name: "cancelled"},
	{name: "metadata_not_readable", facts: dial(allowReading)},
	{name: "metadata_missing"},
	{name: "metadata_unusable"},

	// Listeners that are told something first.
	{name: "azbridge_port_name", verdict: "listener_mismatch",
		next: "write into HYCO_CONNECTION_N_PORT_NAME the name before the colon in its -T option, or add such a port there"},
	{name: "azbridge_version", verdict: "listener_mismatch", next: "use an azbridge that supports version 1.0 of the preamble, or a Hybrid Connection Manager"},
	{name: "azbridge_datagram_only", verdict: "listener_mismatch", next: "name a port that forwards TCP in HYCO_CONNECTION_N_PORT_NAME"},
	{name: "azbridge_stream_only", verdict: "listener_mismatch", next: "look into azbridge's log, and at its version"},
	{name: "opening_no_answer", verdict: "listener_mismatch", facts: dial(checkListener)},
	{name: "opening_not_understood", verdict: "listener_mismatch",
		next: "set HYCO_CONNECTION_N_LISTENER to what listens there: hcm is right for a Hybrid Connection Manager"},
	{name: "target_connection_refused", verdict: "target_unreachable", next: "start what should listen there, or correct the port"},
	{name: "target_host_unreachable", verdict: "target_unreachable", next: otherHost},
	{name: "target_network_unreachable", verdict: "target_unreachable", next: otherHost},
	{name: "target_timeout", verdict: "target_unreachable", next: "check the firewalls between the listener's machine and it"},
	{name: "target_dns_not_found", verdict: "target_unreachable", next: "check the name, as the listener's machine looks it up"},
	{name: "target_dns_timeout", verdict: "target_unreachable", next: "check the resolver of the listener's machine"},
	{name: "target_failed", verdict: "target_unreachable", next: "look into the listener's log for the connection's id, and at its list of targets"},

	// Captured connections.
	{name: "capture_not_permitted", next: "add NET_ADMIN to the container's capabilities and run it as root, for another user does not get it; " +
		"or have an init container that has both run `hyco-sidecar capture install` with the same settings, and recreate the pod where they have changed since"},
	{name: "capture_unsupported", next: "leave HYCO_CAPTURE out; or on the node, load the modules nf_tables and nft_nat"},
	{name: "capture_taken", next: "stop it: one sidecar can have all the endpoints; or leave HYCO_CAPTURE out here"},
	{name: "capture_failed", next: "see whether `nft list ruleset` works as root in the same network namespace, and what the kernel's log says"},

	// What is found at the start, or keeps the sidecar from starting.
	{name: "resolv_conf_elsewhere"},
	{name: "resolv_conf_more_nameservers", next: "leave this resolver alone in the file: some C libraries ask all nameservers at once, and take the first answer"},
	{name: "no_upstreams", next: setUpstreams},
	{name: "upstream_loops", next: "name another resolver in HYCO_DNS_UPSTREAMS"},
	{name: "no_route_to_endpoint", next: "give this network namespace a route to it, such as a default one: nothing is sent there"},
	{name: "signature_ends_soon", next: renewSignature},
	{name: "proxy_in_use"},
	{name: "port_trap"},
	{name: "port_not_bindable"},
}

// byName finds an entry by its label or message.
var byName = index(verdicts, reasons, lines)

func index(groups ...[]entry) map[string]*entry {
	all := make(map[string]*entry)
	for _, group := range groups {
		for i := range group {
			e := &group[i]
			e.see = page + Anchor(e.name)
			all[e.name] = e
		}
	}
	return all
}
