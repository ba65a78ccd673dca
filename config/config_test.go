package config_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/config"
)

const (
	key       = "bm90LWEtcmVhbC1rZXktanVzdC1mb3ItdGVzdHMtMDA="
	namespace = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=" + key
	portal    = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=defaultSender;SharedAccessKey=" + key + ";EntityPath=sql01-hc"
)

func load(t *testing.T, environ ...string) config.Config {
	t.Helper()
	c, err := config.Load(environ)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// plan shows connections as text, one to a line.
func plan(c config.Config) string {
	var b strings.Builder
	for _, x := range c.Connections {
		fmt.Fprintf(&b, "%s %d %s %s %s key %s %v signature %v\n", x.Host, x.Port, x.Address, x.Namespace, x.Entity, x.Credential.KeyName, x.Credential.Key.Reveal() == key, !x.Credential.Signature.Empty())
	}
	return b.String()
}

// sameFields compares the exported fields.
func sameFields(t *testing.T, what string, got, want config.Config) {
	t.Helper()
	wanted := reflect.ValueOf(want)
	for field, value := range reflect.ValueOf(got).Fields() {
		if !field.IsExported() {
			continue
		}
		if got, want := value.Interface(), wanted.FieldByIndex(field.Index).Interface(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s of %s: got %v, want %v", what, field.Name, got, want)
		}
	}
}

func TestIndexedForm(t *testing.T) {
	c := load(t,
		"HYCO_CONNECTION_0_ENDPOINT=SQL01.corp.example.:1433",
		"HYCO_CONNECTION_0_CONNECTION_STRING="+portal,
		"HYCO_CONNECTION_1_ENDPOINT=api:443",
		"HYCO_CONNECTION_1_CONNECTION_STRING= endpoint = SB://Contoso.servicebus.chinacloudapi.cn:8443 ; entitypath = team/api-hc ;; SharedAccessSignature=SharedAccessSignature sr=a&sig=b&se=1&skn=c ;",
		"HYCO_CONNECTION_1_ADDRESS=127.1.2.3",
		"HYCO_CONNECTION_2_ENDPOINT=sql01.corp.example:1434",
		"HYCO_CONNECTION_2_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.windows.net/;EntityPath=open-hc",
		"PATH=/bin", "HYCO_LOG_LEVEL=", // empty is unset
	)
	want := "" +
		"sql01.corp.example 1433 127.77.133.98 contoso.servicebus.windows.net sql01-hc key defaultSender true signature false\n" +
		"api 443 127.1.2.3 contoso.servicebus.chinacloudapi.cn:8443 team/api-hc key  false signature true\n" +
		"sql01.corp.example 1434 127.77.133.98 contoso.servicebus.windows.net open-hc key  false signature false\n"
	if got := plan(c); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCompactForm(t *testing.T) {
	c := load(t,
		"HYCO_CONNECTION_STRING="+namespace,
		"HYCO_ENDPOINTS= sql01.corp.example:1433=sql01-hc,\n  api.corp.example:443=team/api-hc, ",
	)
	want := "" +
		"sql01.corp.example 1433 127.77.133.98 contoso.servicebus.windows.net sql01-hc key send true signature false\n" +
		"api.corp.example 443 127.77.110.147 contoso.servicebus.windows.net team/api-hc key send true signature false\n"
	if got := plan(c); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	c = load(t, "HYCO_CONNECTION_STRING="+portal, "HYCO_ENDPOINTS=sql01.corp.example:1433",
		"HYCO_CONNECTION_0_ENDPOINT=api.corp.example:443", "HYCO_CONNECTION_0_CONNECTION_STRING="+portal)
	if len(c.Connections) != 2 || c.Connections[1].Entity != "sql01-hc" {
		t.Errorf("both forms together: got %s", plan(c))
	}
}

func TestDefaultsAndOverrides(t *testing.T) {
	minimal := []string{"HYCO_CONNECTION_STRING=" + portal, "HYCO_ENDPOINTS=sql01.corp.example:1433"}
	got := load(t, minimal...)
	got.Connections = nil
	want := config.Config{
		DNSListen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}, DNSTTL: 30 * time.Second, DNSCacheSize: 4096,
		ConnectTimeout: 30 * time.Second, KeepAlive: 30 * time.Second, Linger: 2 * time.Minute, DrainTimeout: 25 * time.Second,
		MaxConnections: 4096, WarmConnections: 1, LogFormat: "auto",
		AdminListen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8477")}, Capture: config.Off, CapturePort: 8479, SecretFiles: map[string]string{},
	}
	sameFields(t, "default", got, want)
	got = load(t, append(minimal, "HYCO_DNS_LISTEN=127.0.0.2:5353", "HYCO_DNS_UPSTREAMS=10.0.0.10, 10.0.0.11:5300 fd00::1 [fd00::2]:53",
		"HYCO_DNS_TTL=1m", "HYCO_DNS_CACHE_SIZE=100", "HYCO_CONNECT_TIMEOUT=10s", "HYCO_KEEPALIVE=20s", "HYCO_LINGER=1h", "HYCO_IDLE_TIMEOUT=8h", "HYCO_DRAIN_TIMEOUT=5s",
		"HYCO_MAX_CONNECTIONS=7", "HYCO_WARM_CONNECTIONS=0", "HYCO_LOG_LEVEL=Debug", "HYCO_LOG_FORMAT=JSON", "HYCO_LOOPBACK_RANGE=127.9.9.0/28",
		"HYCO_ADMIN_LISTEN=0.0.0.0 [::1]:9000", "HYCO_ADMIN_PPROF=true", "HYCO_CAPTURE=Redirect", "HYCO_CAPTURE_PORT=15001")...)
	if a := got.Connections[0].Address; !netip.MustParsePrefix("127.9.9.0/28").Contains(a) {
		t.Errorf("address %s is not from the range", a)
	}
	got.Connections = nil
	var upstreams []netip.AddrPort
	for _, u := range []string{"10.0.0.10:53", "10.0.0.11:5300", "[fd00::1]:53", "[fd00::2]:53"} {
		upstreams = append(upstreams, netip.MustParseAddrPort(u))
	}
	want = config.Config{
		DNSListen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:5353")}, DNSUpstreams: upstreams, DNSTTL: time.Minute, DNSCacheSize: 100,
		ConnectTimeout: 10 * time.Second, KeepAlive: 20 * time.Second, Linger: time.Hour, IdleTimeout: 8 * time.Hour, DrainTimeout: 5 * time.Second,
		MaxConnections: 7, LogLevel: slog.LevelDebug, LogFormat: "json",
		AdminListen: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:8477"), netip.MustParseAddrPort("[::1]:9000")}, AdminPprof: true,
		Capture: config.Redirect, CapturePort: 15001, SecretFiles: map[string]string{},
	}
	sameFields(t, "override", got, want)
}

func TestAdminListenIsReadAlone(t *testing.T) {
	for value, want := range map[string]string{
		"":                  "[127.0.0.1:8477]",
		"off":               "[]",
		" Off ":             "[]",
		"0.0.0.0":           "[0.0.0.0:8477]",
		"[::1]:9, 10.1.1.1": "[[::1]:9 10.1.1.1:8477]",
	} {
		got, err := config.AdminListen([]string{"HYCO_NO_SUCH=1", "HYCO_ADMIN_LISTEN=" + value})
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: got %v, %v, want %s", value, got, err, want)
		}
	}
	if _, err := config.AdminListen([]string{"HYCO_ADMIN_LISTEN=here"}); err == nil || !strings.Contains(err.Error(), "HYCO_ADMIN_LISTEN") {
		t.Errorf("got %v", err)
	}
}

func TestProxyThatWouldBeLeftOutIsAFault(t *testing.T) {
	minimal := []string{"HYCO_CONNECTION_STRING=" + portal, "HYCO_ENDPOINTS=sql01.corp.example:1433"}
	for _, good := range []string{"http://proxy.corp.example:3128", "proxy.corp.example:3128", "proxy", "https://a:b%23c@proxy:443", "socks5://10.0.0.1:1080", ""} {
		if _, err := config.Load(append(minimal, "HTTPS_PROXY="+good)); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"http://user:pa%ss@proxy.corp.example:3128", "http://user:pa#ss@proxy:3128", "http://user:p/ss@proxy:3128", "http://", "ftp://proxy:21"} {
		_, err := config.Load(append(minimal, "HTTPS_PROXY="+bad))
		if err == nil || !strings.Contains(err.Error(), "HTTPS_PROXY: it is not the address of a proxy") || strings.Contains(err.Error(), "ss@") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestDefaultRuleOfANamespaceIsARuleLikeAnyOther(t *testing.T) {
	c := load(t, "HYCO_CONNECTION_STRING="+strings.Replace(portal, "defaultSender", "RootManageSharedAccessKey", 1), "HYCO_ENDPOINTS=a:1")
	if got := c.Connections[0].Credential.KeyName; got != "RootManageSharedAccessKey" {
		t.Errorf("got %q", got)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "connection-string")
	if err := os.WriteFile(path, []byte("\n  "+portal+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, "HYCO_CONNECTION_0_ENDPOINT=sql01.corp.example:1433", "HYCO_CONNECTION_0_CONNECTION_STRING_FILE="+path,
		"HYCO_CONNECTION_STRING_FILE="+path, "HYCO_ENDPOINTS=alias.corp.example:1433")
	for _, x := range c.Connections {
		if x.Credential.Key.Reveal() != key {
			t.Errorf("%s: another key", x.Host)
		}
	}
}

func TestServiceLinksAreNotOurs(t *testing.T) {
	load(t, "HYCO_CONNECTION_STRING="+portal, "HYCO_ENDPOINTS=sql01.corp.example:1433",
		"HYCO_PORT=tcp://10.0.0.1:80", "HYCO_SERVICE_HOST=10.0.0.1", "HYCO_SERVICE_PORT=80", "HYCO_SERVICE_PORT_HTTP=80",
		"HYCO_PORT_80_TCP=tcp://10.0.0.1:80", "HYCO_PORT_80_TCP_PROTO=tcp", "HYCO_PORT_80_TCP_PORT=80", "HYCO_PORT_80_TCP_ADDR=10.0.0.1",
		"HYCO_SIDECAR_TEST_SERVICE_HOST=10.0.0.1", "HYCO_SIDECAR_TEST_PORT=udp://10.0.0.1:53")
}

// TestFaults asserts whole reports: what a person reads.
func TestFaults(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"HYCO_CONNECTION_STRING=" + portal, "HYCO_ENDPOINTS=sql01.corp.example:1433"}
	for _, test := range []struct {
		name    string
		environ []string
		want    []string // beginnings of the lines, in order
	}{
		{"nothing", nil, []string{
			"HYCO_CONNECTION_0_ENDPOINT: no endpoint is configured: set it and HYCO_CONNECTION_0_CONNECTION_STRING, or HYCO_ENDPOINTS"}},
		{"all at once", []string{
			"HYCO_CONNECTION_0_ENDPOINT=sql01.corp.example", "HYCO_CONNECTION_1_ENDPOINT=10.1.2.3:1433", "HYCO_CONNECTION_1_CONNECTION_STRING=" + namespace,
			"HYCO_CONNECTION_3_CONNECTION_STRING=" + portal, "HYCO_DNS_TTL=30", "HYCO_MAX_CONNECTIONS=none", "HYCO_LOG_LEVEL=loud",
			"HYCO_DNS_LISTEN=localhost:53", "HYCO_ENDPOINTS=a:1", "HYCO_LOOPBACK_RANGE=10.0.0.0/8", "HYCO_CONNECTIONSTRING=x"},
			[]string{
				"HYCO_CONNECTIONSTRING: no such setting: did you mean HYCO_CONNECTION_STRING?",
				"HYCO_CONNECTION_3_…: HYCO_CONNECTION_2_… is missing before it: number the groups from 0 without gaps",
				`HYCO_DNS_LISTEN: "localhost:53" is not an address: write ip or ip:port`,
				`HYCO_DNS_TTL: "30" is not a duration: add the unit, for example 30s`,
				`HYCO_MAX_CONNECTIONS: "none" does not fit: write a number from 1 to 1048576`,
				`HYCO_LOG_LEVEL: "loud" is not allowed: write debug, info, warn or error`,
				`HYCO_CONNECTION_0_ENDPOINT: "sql01.corp.example" is not host:port: write host:port as the app does`,
				"HYCO_CONNECTION_0_CONNECTION_STRING: it is missing: copy it from the portal",
				`HYCO_CONNECTION_1_ENDPOINT: "10.1.2.3" is an IP address, and an app that connects to an IP address makes no DNS lookup`,
				"HYCO_CONNECTION_1_CONNECTION_STRING: EntityPath is missing: copy the string of the hybrid connection",
				"HYCO_CONNECTION_3_ENDPOINT: it is missing: write host:port",
				"HYCO_CONNECTION_STRING: it is missing for HYCO_ENDPOINTS",
				`HYCO_LOOPBACK_RANGE: "10.0.0.0/8" is not a loopback range`,
			}},
		{"unknown names", append(good, "HYCO_CONNECTION_0_ENPOINT=a:1", "HYCO_DNS_UPSTREAM=1.1.1.1", "HYCO_FROBNICATE_EVERYTHING=1", "HYCO_CONNECTION_0_PORT=80", "HYCO_CONNECTION_01_ENDPOINT=a:1"), []string{
			"HYCO_CONNECTION_01_ENDPOINT: no such setting: did you mean",
			"HYCO_CONNECTION_0_ENPOINT: no such setting: did you mean HYCO_CONNECTION_0_ENDPOINT?",
			"HYCO_CONNECTION_0_PORT: no such setting: did you mean",
			"HYCO_DNS_UPSTREAM: no such setting: did you mean HYCO_DNS_UPSTREAMS?",
			"HYCO_FROBNICATE_EVERYTHING: no such setting: remove it, or see `hyco-sidecar help`"}},
		{"a large gap", []string{"HYCO_CONNECTION_5_ENDPOINT=a:1", "HYCO_CONNECTION_5_CONNECTION_STRING=" + portal}, []string{
			"HYCO_CONNECTION_5_…: HYCO_CONNECTION_0_… to HYCO_CONNECTION_4_… are missing before it"}},
		{"hosts", []string{"HYCO_CONNECTION_STRING=" + namespace,
			"HYCO_ENDPOINTS=localhost:1=a,db.localhost:1=a,a_b.-c:1=a,sql01:0=a,sql01:99999=a,[::1]:80=a,contoso.servicebus.windows.net:443=a,hyco-sidecar.internal:1=a,ok:1=,ok:2=a//b,1.2.3:4=a"}, []string{
			`HYCO_ENDPOINTS: "localhost" always means the app's own machine`,
			`HYCO_ENDPOINTS: "db.localhost" always means`,
			`HYCO_ENDPOINTS: "a_b.-c" is not a DNS name`,
			`HYCO_ENDPOINTS: "sql01:0" has no valid port`,
			`HYCO_ENDPOINTS: "sql01:99999" has no valid port`,
			`HYCO_ENDPOINTS: "::1" is an IP address`,
			`HYCO_ENDPOINTS: "hyco-sidecar.internal" is this program's own name`,
			`HYCO_ENDPOINTS: "ok:1=" does not name a hybrid connection`,
			`HYCO_ENDPOINTS: "ok:2=a//b" does not name a hybrid connection`,
			`HYCO_ENDPOINTS: "1.2.3" is not a DNS name`,
			`HYCO_ENDPOINTS: "contoso.servicebus.windows.net" is the relay itself`}},
		{"duplicates", []string{"HYCO_CONNECTION_0_ENDPOINT=sql01:1433", "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal,
			"HYCO_CONNECTION_STRING=" + namespace, "HYCO_ENDPOINTS=SQL01.:1433=b,api:1=a,api:1=a"}, []string{
			"HYCO_ENDPOINTS: sql01:1433 is listed in HYCO_CONNECTION_0_ENDPOINT already: keep one of the two",
			"HYCO_ENDPOINTS: api:1 is listed twice"}},
		{"compact without names", []string{"HYCO_CONNECTION_STRING=" + namespace, "HYCO_ENDPOINTS=sql01:1433"}, []string{
			`HYCO_ENDPOINTS: "sql01:1433" names no hybrid connection, and HYCO_CONNECTION_STRING has no EntityPath`}},
		{"one EntityPath for two", []string{"HYCO_CONNECTION_STRING=" + portal, "HYCO_ENDPOINTS=sql01:1433,api:443"}, []string{
			"HYCO_ENDPOINTS: two endpoints name no hybrid connection, but EntityPath names only one"}},
		{"another EntityPath", []string{"HYCO_CONNECTION_STRING=" + portal, "HYCO_ENDPOINTS=api:443=api-hc"}, []string{
			`HYCO_ENDPOINTS: "api-hc" is not the hybrid connection that HYCO_CONNECTION_STRING is for (EntityPath=sql01-hc)`}},
		{"a string without endpoints", []string{"HYCO_CONNECTION_STRING=" + portal}, []string{
			"HYCO_ENDPOINTS: it is missing, so HYCO_CONNECTION_STRING is not used"}},
		{"addresses", []string{
			"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal, "HYCO_CONNECTION_0_ADDRESS=10.0.0.1",
			"HYCO_CONNECTION_1_ENDPOINT=b:1", "HYCO_CONNECTION_1_CONNECTION_STRING=" + portal, "HYCO_CONNECTION_1_ADDRESS=127.1.1.1",
			"HYCO_CONNECTION_2_ENDPOINT=c:1", "HYCO_CONNECTION_2_CONNECTION_STRING=" + portal, "HYCO_CONNECTION_2_ADDRESS=127.1.1.1",
			"HYCO_CONNECTION_3_ENDPOINT=b:2", "HYCO_CONNECTION_3_CONNECTION_STRING=" + portal, "HYCO_CONNECTION_3_ADDRESS=127.1.1.2",
			"HYCO_CONNECTION_4_ENDPOINT=d:1", "HYCO_CONNECTION_4_CONNECTION_STRING=" + portal, "HYCO_CONNECTION_4_ADDRESS=::1",
			"HYCO_CONNECTION_5_ENDPOINT=e:1", "HYCO_CONNECTION_5_CONNECTION_STRING=" + portal, "HYCO_CONNECTION_5_ADDRESS=loopback"}, []string{
			"HYCO_CONNECTION_0_ADDRESS: 10.0.0.1 is not an IPv4 loopback address: write an address from 127.0.0.0/8",
			"HYCO_CONNECTION_2_ADDRESS: 127.1.1.1 is already the address of b: give each host an address of its own",
			"HYCO_CONNECTION_3_ADDRESS: b already has the address 127.1.1.1: set it once per host",
			"HYCO_CONNECTION_4_ADDRESS: ::1 is not an IPv4 loopback address",
			`HYCO_CONNECTION_5_ADDRESS: "loopback" is not an address`}},
		{"a range that is too small", []string{"HYCO_CONNECTION_STRING=" + namespace, "HYCO_ENDPOINTS=a:1=a,b:1=a,c:1=a", "HYCO_LOOPBACK_RANGE=127.9.9.0/31"}, []string{
			"HYCO_LOOPBACK_RANGE: 127.9.9.0/31 has no room for 3 names"}},
		{"durations", append(good, "HYCO_LINGER=soon", "HYCO_KEEPALIVE=0s", "HYCO_CONNECT_TIMEOUT=-1s", "HYCO_IDLE_TIMEOUT=1000000h", "HYCO_DRAIN_TIMEOUT=0"), []string{
			`HYCO_CONNECT_TIMEOUT: "-1s" is out of range: write 1s to 1h0m0s`,
			`HYCO_KEEPALIVE: "0s" is out of range`,
			`HYCO_LINGER: "soon" is not a duration: write for example 30s, 5m or 1h30m`,
			`HYCO_IDLE_TIMEOUT: "1000000h" is out of range`,
			`HYCO_DRAIN_TIMEOUT: "0" is out of range`}},
		{"upstreams that are us", append(good, "HYCO_DNS_LISTEN=127.0.0.1:53,0.0.0.0:5353", "HYCO_DNS_UPSTREAMS=10.0.0.10,127.0.0.1,127.0.0.9:5353"), []string{
			"HYCO_DNS_UPSTREAMS: 127.0.0.1:53 is this sidecar itself (HYCO_DNS_LISTEN)",
			"HYCO_DNS_UPSTREAMS: 127.0.0.9:5353 is this sidecar itself"}},
		{"files", []string{"HYCO_ENDPOINTS=sql01:1433", "HYCO_CONNECTION_STRING_FILE=" + filepath.Join(dir, "absent"),
			"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal, "HYCO_CONNECTION_0_CONNECTION_STRING_FILE=" + empty,
			"HYCO_CONNECTION_1_ENDPOINT=b:1", "HYCO_CONNECTION_1_CONNECTION_STRING_FILE=" + empty,
			"HYCO_CA_FILE=" + empty}, []string{
			"HYCO_CONNECTION_0_CONNECTION_STRING_FILE: HYCO_CONNECTION_0_CONNECTION_STRING is set as well: keep one of the two",
			"HYCO_CONNECTION_1_CONNECTION_STRING_FILE: " + fmt.Sprintf("%q", empty) + " is empty",
			"HYCO_CONNECTION_STRING_FILE: cannot read " + fmt.Sprintf("%q", filepath.Join(dir, "absent")) + ": no such file or directory: name a file",
			"HYCO_CA_FILE: " + fmt.Sprintf("%q", empty) + " contains no certificate"}},
		{"pipes", append(good, "HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING_FILE="+dir), []string{
			"HYCO_CONNECTION_0_CONNECTION_STRING_FILE: cannot read " + fmt.Sprintf("%q", dir) + ": it is not a regular file"}},
		{"N itself", append(good, "HYCO_CONNECTION_N_ENDPOINT=a:1"), []string{
			"HYCO_CONNECTION_N_ENDPOINT: N stands for a number: write for example HYCO_CONNECTION_0_ENDPOINT"}},
		{"indices that are none", append(good, "HYCO_CONNECTION_00_ENDPOINT=a:1", "HYCO_CONNECTION_99999999999999999999_ENDPOINT=a:1"), []string{
			"HYCO_CONNECTION_00_ENDPOINT: no such setting: did you mean HYCO_CONNECTION_0_ENDPOINT?",
			"HYCO_CONNECTION_99999999999999999999_ENDPOINT: no such setting"}},
		{"names from nowhere", append(good, "HYCO_\x1b[31m=1"), []string{`"HYCO_\x1b[31m": no such setting`}},
		{"lists of nothing", append(good[:1:1], "HYCO_ENDPOINTS=,", "HYCO_DNS_LISTEN=,", "HYCO_DNS_UPSTREAMS= , ,"), []string{
			`HYCO_DNS_LISTEN: "," has no entry`, `HYCO_DNS_UPSTREAMS: ", ," has no entry`, `HYCO_ENDPOINTS: "," has no entry`}},
		{"quotation marks", []string{"HYCO_CONNECTION_0_ENDPOINT=\"a:1\"", "HYCO_CONNECTION_0_CONNECTION_STRING='" + portal + "'", "HYCO_DNS_TTL=\"soon\""}, []string{
			"HYCO_CONNECTION_0_CONNECTION_STRING: the value is wrapped in quotes: remove the quotes",
			"HYCO_CONNECTION_0_ENDPOINT: the value is wrapped in quotes",
			"HYCO_DNS_TTL: the value is wrapped in quotes",
			`HYCO_DNS_TTL: "soon" is not a duration`}},
		{"a broadcast", []string{"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal, "HYCO_CONNECTION_0_ADDRESS=127.255.255.255"}, []string{
			"HYCO_CONNECTION_0_ADDRESS: 127.255.255.255 is a broadcast address"}},
		{"blanks in an endpoint", []string{"HYCO_CONNECTION_0_ENDPOINT=a.b : 1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal}, []string{
			`HYCO_CONNECTION_0_ENDPOINT: "a.b : 1" is not host:port`}},
		{"the relay with a dot", []string{"HYCO_CONNECTION_STRING=Endpoint=sb://contoso.example./", "HYCO_ENDPOINTS=contoso.example:1=a"}, []string{
			`HYCO_ENDPOINTS: "contoso.example" is the relay itself`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Load(test.environ)
			reports(t, err, test.want...)
		})
	}
}

// reports compares what a person reads with the beginnings of its lines.
func reports(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no fault was found")
	}
	lines := strings.Split(err.Error(), "\n")
	heading := "one setting needs attention:"
	if len(want) > 1 {
		heading = fmt.Sprintf("%d settings need attention:", len(want))
	}
	if lines[0] != heading {
		t.Errorf("got %q, want %q", err, heading)
	}
	for i, want := range want {
		got := ""
		if i+1 < len(lines) {
			got = lines[i+1]
		}
		if !strings.HasPrefix(got, "  "+want) {
			t.Errorf("line %d: got  %s\nwant  %s", i+1, got, want)
		}
	}
	for _, secret := range []string{key, otherKey} {
		if strings.Contains(err.Error(), secret) {
			t.Error("the report shows a key")
		}
	}
}

func TestConnectionStringFaults(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"no endpoint", "SharedAccessKeyName=a;SharedAccessKey=" + key, "Endpoint is missing in the connection string"},
		{"no value", "Endpoint=;SharedAccessKeyName=a;SharedAccessKey=" + key, "Endpoint is missing in the connection string"},
		{"other scheme", "Endpoint=https://contoso.servicebus.windows.net/", `Endpoint in the connection string has the scheme "https" instead of sb`},
		{"not a URI", "Endpoint=contoso", "Endpoint in the connection string is not a URI"},
		{"a path", "Endpoint=sb://contoso.servicebus.windows.net/hc", "Endpoint in the connection string has more than a host"},
		{"half a key", portal + ";SharedAccessKeyName=", "SharedAccessKeyName is missing"},
		{"the other half", portal + ";SharedAccessKey=", "SharedAccessKey is missing"},
		{"key and signature", portal + ";SharedAccessSignature=SharedAccessSignature sr=a&sig=b&se=1&skn=c", "SharedAccessSignature cannot be combined with a key"},
		{"not a token", "Endpoint=sb://c/;EntityPath=e;SharedAccessSignature=" + key, "SharedAccessSignature is not a token"},
		{"another authentication", "Endpoint=sb://c/;EntityPath=e;Authentication=Windows", "Authentication has an unknown value"},
		{"no equals sign", "Endpoint=sb://c/;" + strings.ReplaceAll(key, "=", ""), "part 2 of the connection string has no '='"},
		{"unknown key", "Endpoint=sb://c/;Entity=e", `part 2 of the connection string has the unknown key "Entity"`},
		{"a key of its own", key, `part 1 of the connection string has the unknown key "…"`},
		{"quotes", `"` + portal + `"`, "the value is wrapped in quotes"},
		{"name and key swapped", "Endpoint=sb://c/;EntityPath=e;SharedAccessKeyName=" + key + ";SharedAccessKey=defaultSender", "SharedAccessKeyName looks like a key"},
		{"a placeholder", "Endpoint=sb://c/;EntityPath=e;SharedAccessKeyName=a;SharedAccessKey=…", "SharedAccessKey contains a character that no key has"},
		{"a broken key", "Endpoint=sb://c/;EntityPath=e;SharedAccessKeyName=a;SharedAccessKey=ab cd", "SharedAccessKey contains a character that no key has"},
		{"a port too large", "Endpoint=sb://c:99999/;EntityPath=e", "Endpoint in the connection string has no valid port"},
		{"no port", "Endpoint=sb://c:/;EntityPath=e", "Endpoint in the connection string has no valid port"},
		{"a host that is none", "Endpoint=sb://a,b/;EntityPath=e", "Endpoint in the connection string has no valid host"},
		{"a fragment", "Endpoint=sb://c/#x;EntityPath=e", "Endpoint in the connection string has more than a host"},
		{"a slash too many", "Endpoint=sb://c/;EntityPath=/e", "EntityPath begins or ends with '/'"},
		{"no name", "Endpoint=sb://c/;EntityPath=a b", "EntityPath is not the name of a hybrid connection"},
		{"a key too long", "Endpoint=sb://c/;EntityPath=e;SharedAccessKeyName=a;SharedAccessKey=" + strings.Repeat("x", 257), "SharedAccessKeyName or SharedAccessKey is longer than 256"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Load([]string{"HYCO_CONNECTION_0_ENDPOINT=a:1", "HYCO_CONNECTION_0_CONNECTION_STRING=" + test.text})
			if err == nil || !strings.Contains(err.Error(), "HYCO_CONNECTION_0_CONNECTION_STRING: "+test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), strings.TrimRight(key, "=")) {
				t.Error("the report shows the key")
			}
		})
	}
}

func TestSecretsInTheWrongVariableAreNotShown(t *testing.T) {
	for _, variable := range []string{"HYCO_ENDPOINTS", "HYCO_CONNECTION_0_ENDPOINT", "HYCO_CONNECTION_0_ADDRESS", "HYCO_DNS_LISTEN", "HYCO_DNS_TTL",
		"HYCO_CA_FILE", "HYCO_CONNECTION_STRING_FILE", "HYCO_MAX_CONNECTIONS", "HYCO_LOG_LEVEL", "HYCO_LOOPBACK_RANGE"} {
		for _, value := range []string{portal, key, "SharedAccessSignature sr=x&sig=" + key + "&se=1&skn=k"} {
			_, err := config.Load([]string{variable + "=" + value, "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal})
			if err == nil || strings.Contains(err.Error(), strings.TrimRight(key, "=")) {
				t.Errorf("%s: got %v", variable, err)
			}
		}
	}
}

func TestSecretsCannotBePrinted(t *testing.T) {
	c := load(t, "HYCO_CONNECTION_STRING="+portal, "HYCO_ENDPOINTS=sql01.corp.example:1433")
	hidden := struct{ secret config.Secret }{config.NewSecret(key)}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n"+verb+"\n"+verb+"\n", c, &c, c.Connections[0].Credential.Key, hidden)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "config", c, "connection", c.Connections[0], "key", c.Connections[0].Credential.Key, "hidden", hidden)
	}
	for _, v := range []any{c, c.Connections[0].Credential.Key, &c.Connections[0].Credential.Key, map[string]any{"k": c.Connections[0].Credential.Key}} {
		c.RootCAs = nil
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("json: %v", err)
		}
		out.Write(text)
	}
	for _, secret := range []string{key, fmt.Sprintf("%x", key), fmt.Sprintf("%X", key)} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the key is shown:\n%s", out.String())
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing says that something was left out")
	}
	if got := c.Connections[0].Credential.Key.Reveal(); got != key {
		t.Errorf("Reveal: got %q", got)
	}
}

func TestAddressesDependOnTheSetOfNamesAlone(t *testing.T) {
	names := make([]string, 1000)
	for i := range names {
		names[i] = fmt.Sprintf("host%03d.corp.example", i)
	}
	addresses := func(names []string) map[string]netip.Addr {
		var endpoints []string
		for _, n := range names {
			endpoints = append(endpoints, n+":1433=hc", n+":1434=hc")
		}
		c := load(t, "HYCO_CONNECTION_STRING="+namespace, "HYCO_ENDPOINTS="+strings.Join(endpoints, ","))
		got := make(map[string]netip.Addr)
		for _, x := range c.Connections {
			if a, ok := got[x.Host]; ok && a != x.Address {
				t.Fatalf("%s has two addresses", x.Host)
			}
			got[x.Host] = x.Address
		}
		return got
	}
	first := addresses(names)
	reversed := make([]string, 0, len(names))
	for i := range names {
		reversed = append(reversed, strings.ToUpper(names[len(names)-1-i]))
	}
	if other := addresses(reversed); !maps.Equal(first, other) {
		t.Errorf("another order gives other addresses: %v and %v", first, other)
	}
	seen := make(map[netip.Addr]string)
	for name, a := range first {
		if other := seen[a]; other != "" {
			t.Errorf("%s and %s share %s", name, other, a)
		}
		seen[a] = name
		if last := a.As4()[3]; last == 0 || last == 255 || !netip.MustParsePrefix("127.77.0.0/16").Contains(a) {
			t.Errorf("%s has %s", name, a)
		}
	}
}

// TestAddressesNeverChange: they stand in hosts files, zones and allow lists.
func TestAddressesNeverChange(t *testing.T) {
	c := load(t, "HYCO_CONNECTION_STRING="+namespace, "HYCO_ENDPOINTS=orders.corp.example:8080=a,sql01.corp.example:1433=a,sql01:1433=a")
	want := map[string]string{"orders.corp.example": "127.77.180.218", "sql01.corp.example": "127.77.133.98", "sql01": "127.77.47.132"}
	for _, x := range c.Connections {
		if got := x.Address.String(); got != want[x.Host] {
			t.Errorf("%s: got %s, want %s", x.Host, got, want[x.Host])
		}
	}
}

func TestWideRangeLeavesOutWhatOthersUse(t *testing.T) {
	var endpoints []string
	for i := range 2000 {
		endpoints = append(endpoints, fmt.Sprintf("h%d:1=a", i))
	}
	c := load(t, "HYCO_CONNECTION_STRING="+namespace, "HYCO_ENDPOINTS="+strings.Join(endpoints, ","), "HYCO_LOOPBACK_RANGE=127.0.0.0/15")
	for _, x := range c.Connections {
		if !netip.MustParsePrefix("127.1.0.0/16").Contains(x.Address) {
			t.Errorf("%s has %s", x.Host, x.Address)
		}
	}
}

func TestExtraRootsJoinTheSystems(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("not a certificate")})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load([]string{"HYCO_CONNECTION_STRING=" + portal, "HYCO_ENDPOINTS=a:1", "HYCO_CA_FILE=" + path})
	if err == nil || !strings.Contains(err.Error(), "contains no certificate") {
		t.Errorf("a broken certificate: got %v", err)
	}
}
