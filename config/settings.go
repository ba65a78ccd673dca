package config

import (
	"reflect"
	"strings"
)

// settings are the variables as text. The tags of a field are the only place that
// has its name, default and meaning, and whether a _FILE variable exists; the table
// in README.md is made from them.
type settings struct {
	Connections []group `envPrefix:"HYCO_CONNECTION_"`

	ConnectionString string `env:"HYCO_CONNECTION_STRING" twin:"file" meaning:"connection string of the namespace (or of one hybrid connection), for the names in HYCO_ENDPOINTS"`
	Secondary        string `env:"HYCO_SECONDARY_CONNECTION_STRING" twin:"file" meaning:"connection string with the rule's other key, used once the first is refused"`
	Endpoints        string `env:"HYCO_ENDPOINTS" meaning:"comma-separated list of host:port=hybrid-connection; =hybrid-connection may be left out if the connection string has an EntityPath"`

	Auth string `env:"HYCO_AUTH" envDefault:"connection-string" meaning:"connection-string = the key or signature in the connection string; entra = tokens of Entra ID, for connection strings without a key"`

	LoopbackRange   string `env:"HYCO_LOOPBACK_RANGE" envDefault:"127.77.0.0/16" meaning:"range of the stand-in addresses"`
	DNSListen       string `env:"HYCO_DNS_LISTEN" envDefault:"127.0.0.1:53" meaning:"addresses of the resolver, UDP and TCP, separated by commas"`
	DNSUpstreams    string `env:"HYCO_DNS_UPSTREAMS" shown:"nameservers of /etc/resolv.conf, except the sidecar itself" meaning:"comma-separated resolvers, ip or ip:port, for all other names"`
	DNSTTL          string `env:"HYCO_DNS_TTL" envDefault:"30s" meaning:"how long apps may cache a stand-in address"`
	DNSCacheSize    string `env:"HYCO_DNS_CACHE_SIZE" envDefault:"4096" meaning:"number of cached replies for other names; 0 = no cache"`
	ConnectTimeout  string `env:"HYCO_CONNECT_TIMEOUT" envDefault:"30s" meaning:"how long an app connection may take to reach a listener; each attempt takes 10s at most"`
	KeepAlive       string `env:"HYCO_KEEPALIVE" envDefault:"30s" meaning:"a tunnel without data for this long is pinged"`
	Linger          string `env:"HYCO_LINGER" envDefault:"120s" meaning:"after one side has ended its stream: how long the other may stay without sending data"`
	IdleTimeout     string `env:"HYCO_IDLE_TIMEOUT" envDefault:"0" shown:"0 (off)" meaning:"reset connections without data for this long"`
	MaxConnections  string `env:"HYCO_MAX_CONNECTIONS" envDefault:"4096" meaning:"connections open at once; further connections wait"`
	WarmConnections string `env:"HYCO_WARM_CONNECTIONS" envDefault:"1" meaning:"spare TLS connections kept ready per namespace while it is in use; 0 = none"`
	DrainTimeout    string `env:"HYCO_DRAIN_TIMEOUT" envDefault:"25s" meaning:"how long open connections may continue after SIGTERM"`
	AdminListen     string `env:"HYCO_ADMIN_LISTEN" envDefault:"127.0.0.1:8477" meaning:"addresses of the admin server (probes, metrics, status page), separated by commas; off = none"`
	AdminPprof      string `env:"HYCO_ADMIN_PPROF" envDefault:"false" meaning:"true = the admin server offers Go's profiles at /debug/pprof/, to this machine only"`
	Capture         string `env:"HYCO_CAPTURE" envDefault:"off" meaning:"redirect = the kernel redirects the app's connections to the sidecar, which then binds no endpoint's port (needs NET_ADMIN)"`
	CapturePort     string `env:"HYCO_CAPTURE_PORT" envDefault:"8479" meaning:"port on the loopback interface at which redirected connections arrive"`
	LogLevel        string `env:"HYCO_LOG_LEVEL" envDefault:"info" meaning:"debug, info, warn or error"`
	LogFormat       string `env:"HYCO_LOG_FORMAT" envDefault:"auto" meaning:"text, json, or auto: text on a terminal, else JSON"`
	CAFile          string `env:"HYCO_CA_FILE" meaning:"PEM file with certificate authorities to trust for the relay, in addition to the system's"`
}

// group is one hybrid connection in the indexed form.
type group struct {
	Endpoint         string `env:"ENDPOINT" meaning:"host:port as the app uses it; auto = read it from the hybrid connection's metadata"`
	ConnectionString string `env:"CONNECTION_STRING" twin:"file" meaning:"connection string as copied from the portal, EntityPath included"`
	Secondary        string `env:"SECONDARY_CONNECTION_STRING" twin:"file" meaning:"connection string with the rule's other key, used once the first is refused"`
	Address          string `env:"ADDRESS" shown:"chosen from HYCO_LOOPBACK_RANGE" meaning:"loopback address that stands for the host"`
	Listener         string `env:"LISTENER" shown:"hcm" meaning:"what listens on the other side: hcm, azbridge or aztunnel"`
	PortName         string `env:"PORT_NAME" meaning:"with azbridge: name of the port that it forwards (its -T option)"`
}

// Setting documents one variable.
type Setting struct {
	Name    string // N stands for an index from 0
	Default string // as shown to a person; empty when there is none
	Meaning string
}

// Settings documents every variable, in reading order.
func Settings() []Setting {
	return document(reflect.TypeFor[settings](), "")
}

// document returns the settings of the struct type t, with prefix before each name.
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

// secretTwins returns the variables for which a _FILE variable exists.
func secretTwins() map[string]bool {
	twins := make(map[string]bool)
	for _, s := range Settings() {
		if name, ok := strings.CutSuffix(s.Name, "_FILE"); ok && name != "HYCO_CA" {
			twins[name] = true
		}
	}
	return twins
}
