package config

import (
	"reflect"
	"strings"
)

// settings are the variables as text. Each field's tags are all that the
// program and its documentation know about it: the name, the default, the
// meaning, and whether a _FILE twin exists.
type settings struct {
	Connections []group `envPrefix:"HYCO_CONNECTION_"`

	ConnectionString string `env:"HYCO_CONNECTION_STRING" twin:"file" meaning:"connection string of the namespace (or of one hybrid connection), for the names in HYCO_ENDPOINTS"`
	Secondary        string `env:"HYCO_SECONDARY_CONNECTION_STRING" twin:"file" meaning:"the same with the other key, used when the first is refused"`
	Endpoints        string `env:"HYCO_ENDPOINTS" meaning:"comma-separated list of host:port=hybrid-connection; the name may be left out where the connection string has an EntityPath"`

	Auth string `env:"HYCO_AUTH" envDefault:"connection-string" meaning:"connection-string = the key or signature that stands there; entra = tokens of Entra ID for connection strings without one"`

	LoopbackRange   string `env:"HYCO_LOOPBACK_RANGE" envDefault:"127.77.0.0/16" meaning:"where stand-in addresses come from"`
	DNSListen       string `env:"HYCO_DNS_LISTEN" envDefault:"127.0.0.1:53" meaning:"addresses of the resolver, UDP and TCP, with commas between them"`
	DNSUpstreams    string `env:"HYCO_DNS_UPSTREAMS" shown:"nameservers of /etc/resolv.conf, itself left out" meaning:"comma-separated resolvers, ip or ip:port, for all other names"`
	DNSTTL          string `env:"HYCO_DNS_TTL" envDefault:"30s" meaning:"how long apps may remember a stand-in address"`
	DNSCacheSize    string `env:"HYCO_DNS_CACHE_SIZE" envDefault:"4096" meaning:"replies of the resolvers for other names that are remembered; 0 = none"`
	ConnectTimeout  string `env:"HYCO_CONNECT_TIMEOUT" envDefault:"30s" meaning:"how long one app connection may take to reach a listener, attempts of 10s included"`
	KeepAlive       string `env:"HYCO_KEEPALIVE" envDefault:"30s" meaning:"silence after which a tunnel is pinged"`
	Linger          string `env:"HYCO_LINGER" envDefault:"120s" meaning:"once one side has ended: how long the other may stay without sending"`
	IdleTimeout     string `env:"HYCO_IDLE_TIMEOUT" envDefault:"0" shown:"0 (off)" meaning:"reset connections without data for this long"`
	MaxConnections  string `env:"HYCO_MAX_CONNECTIONS" envDefault:"4096" meaning:"connections open at once; above it new ones wait"`
	WarmConnections string `env:"HYCO_WARM_CONNECTIONS" envDefault:"1" meaning:"spare TLS connections kept ready per namespace while it is in use; 0 = none"`
	DrainTimeout    string `env:"HYCO_DRAIN_TIMEOUT" envDefault:"25s" meaning:"how long open connections may go on after SIGTERM"`
	AdminListen     string `env:"HYCO_ADMIN_LISTEN" envDefault:"127.0.0.1:8477" meaning:"addresses of the probes, metrics and status page, with commas between them; off = none"`
	AdminPprof      string `env:"HYCO_ADMIN_PPROF" envDefault:"false" meaning:"true = serve Go's profiles at /debug/pprof/ there, to this machine alone"`
	Capture         string `env:"HYCO_CAPTURE" envDefault:"off" meaning:"redirect = let the kernel lead the app's connections here instead of binding each endpoint's port (needs NET_ADMIN)"`
	CapturePort     string `env:"HYCO_CAPTURE_PORT" envDefault:"8479" meaning:"port on the loopback interface that redirected connections come to"`
	LogLevel        string `env:"HYCO_LOG_LEVEL" envDefault:"info" meaning:"debug, info, warn or error"`
	LogFormat       string `env:"HYCO_LOG_FORMAT" envDefault:"auto" meaning:"text, json, or auto: text on a terminal, else JSON"`
	CAFile          string `env:"HYCO_CA_FILE" meaning:"PEM file with certificate authorities to trust for the relay, besides the system's"`
}

// group is one hybrid connection in the indexed form.
type group struct {
	Endpoint         string `env:"ENDPOINT" meaning:"host:port as the app writes it; auto = what the hybrid connection's metadata says"`
	ConnectionString string `env:"CONNECTION_STRING" twin:"file" meaning:"connection string as copied from the portal, EntityPath included"`
	Secondary        string `env:"SECONDARY_CONNECTION_STRING" twin:"file" meaning:"the same with the other key, used when the first is refused"`
	Address          string `env:"ADDRESS" shown:"chosen from HYCO_LOOPBACK_RANGE" meaning:"loopback address that stands for the host"`
	Listener         string `env:"LISTENER" shown:"hcm" meaning:"what listens on the other side: hcm, azbridge or aztunnel"`
	PortName         string `env:"PORT_NAME" meaning:"with azbridge: name of the port that it forwards (its -T option)"`
}

// Setting documents one variable.
type Setting struct {
	Name    string // N stands for an index from 0
	Default string // as a person reads it; empty when there is none
	Meaning string
}

// Settings documents every variable, in reading order.
func Settings() []Setting {
	return document(reflect.TypeFor[settings](), "")
}

func document(t reflect.Type, prefix string) []Setting {
	var all []Setting
	for f := range t.Fields() {
		if p, ok := f.Tag.Lookup("envPrefix"); ok {
			all = append(all, document(f.Type.Elem(), p+"N_")...)
			continue
		}
		s := Setting{Name: prefix + f.Tag.Get("env"), Default: f.Tag.Get("envDefault"), Meaning: f.Tag.Get("meaning")}
		if shown, ok := f.Tag.Lookup("shown"); ok {
			s.Default = shown
		}
		all = append(all, s)
		if f.Tag.Get("twin") == "file" {
			all = append(all, Setting{Name: s.Name + "_FILE", Meaning: "file to read `" + s.Name + "` from"})
		}
	}
	return all
}

// secretTwins are the names that have a _FILE twin.
func secretTwins() map[string]bool {
	twins := make(map[string]bool)
	for _, s := range Settings() {
		if name, ok := strings.CutSuffix(s.Name, "_FILE"); ok && name != "HYCO_CA" {
			twins[name] = true
		}
	}
	return twins
}
