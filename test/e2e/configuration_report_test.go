//go:build linux

package e2e_test

import (
	"strings"
	"testing"

	"hyco-sidecar/test/e2e/world"
)

// TestBadConfigurationIsOneReport starts the sidecar with settings that cannot
// work. All faults are told at once, by variable, and no key with them.
func TestBadConfigurationIsOneReport(t *testing.T) {
	world.Needs(t)
	const (
		key    = "dGhlIGtleSB0aGF0IG5vYm9keSBtYXkgc2Vl"
		sender = "Endpoint=sb://contoso.servicebus.example/;SharedAccessKeyName=defaultSender;SharedAccessKey=" + key + ";EntityPath=orders-hc"
	)
	good := []string{
		"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:8080",
		"HYCO_CONNECTION_0_CONNECTION_STRING=" + sender,
	}
	w := world.New(t)
	cases := []struct {
		name string
		env  []string
		want []string // in the report
	}{
		{"nothing at all", nil, []string{"HYCO_CONNECTION"}},
		{"unknown variable", append(good, "HYCO_CONECT_TIMEOUT=5s"), []string{"HYCO_CONECT_TIMEOUT", "HYCO_CONNECT_TIMEOUT"}},
		{"no duration", append(good, "HYCO_LINGER=soon"), []string{"HYCO_LINGER"}},
		{"no number", append(good, "HYCO_MAX_CONNECTIONS=many"), []string{"HYCO_MAX_CONNECTIONS"}},
		{"no address", append(good, "HYCO_DNS_LISTEN=somewhere"), []string{"HYCO_DNS_LISTEN"}},
		{"no upstream", append(good, "HYCO_DNS_UPSTREAMS=dns.corp.example"), []string{"HYCO_DNS_UPSTREAMS"}},
		{"no level", append(good, "HYCO_LOG_LEVEL=loud"), []string{"HYCO_LOG_LEVEL"}},
		{"no such file", append(good, "HYCO_CA_FILE=/does/not/exist.pem"), []string{"HYCO_CA_FILE", "/does/not/exist.pem"}},
		{"gap", append(good,
			"HYCO_CONNECTION_2_ENDPOINT=billing.corp.example:80",
			"HYCO_CONNECTION_2_CONNECTION_STRING="+sender), []string{"HYCO_CONNECTION_1"}},
		{"endpoint without string", []string{"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:80"}, []string{"HYCO_CONNECTION_0_CONNECTION_STRING"}},
		{"string without endpoint", good[1:], []string{"HYCO_CONNECTION_0_ENDPOINT"}},
		{"no port", []string{"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example", good[1]}, []string{"HYCO_CONNECTION_0_ENDPOINT"}},
		{"port 0", []string{"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:0", good[1]}, []string{"HYCO_CONNECTION_0_ENDPOINT"}},
		{"localhost", []string{"HYCO_CONNECTION_0_ENDPOINT=localhost:80", good[1]}, []string{"HYCO_CONNECTION_0_ENDPOINT", "localhost"}},
		{"address for a name", []string{"HYCO_CONNECTION_0_ENDPOINT=10.1.2.3:80", good[1]}, []string{"HYCO_CONNECTION_0_ENDPOINT"}},
		{"the same endpoint twice", append(good,
			"HYCO_CONNECTION_1_ENDPOINT=Orders.Corp.Example.:8080",
			"HYCO_CONNECTION_1_CONNECTION_STRING="+sender), []string{"HYCO_CONNECTION_1_ENDPOINT"}},
		{"no entity", []string{good[0], "HYCO_CONNECTION_0_CONNECTION_STRING=" + strings.TrimSuffix(sender, ";EntityPath=orders-hc")},
			[]string{"HYCO_CONNECTION_0_CONNECTION_STRING", "EntityPath"}},
		{"key without its name", []string{good[0], "HYCO_CONNECTION_0_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.example/;SharedAccessKey=" + key + ";EntityPath=x"},
			[]string{"HYCO_CONNECTION_0_CONNECTION_STRING", "SharedAccessKeyName"}},
		{"a key alone", []string{good[0], "HYCO_CONNECTION_0_CONNECTION_STRING=" + key}, []string{"HYCO_CONNECTION_0_CONNECTION_STRING"}},
		{"compact without endpoints", []string{"HYCO_CONNECTION_STRING=" + strings.TrimSuffix(sender, ";EntityPath=orders-hc")}, []string{"HYCO_ENDPOINTS"}},
		{"endpoints without a string", []string{"HYCO_ENDPOINTS=orders.corp.example:80=orders-hc"}, []string{"HYCO_CONNECTION_STRING"}},
		{"all at once", []string{
			"HYCO_CONNECTION_0_ENDPOINT=localhost:80",
			"HYCO_CONNECTION_0_CONNECTION_STRING=" + key,
			"HYCO_CONNECTION_1_ENDPOINT=orders.corp.example",
			"HYCO_CONNECTION_1_CONNECTION_STRING_FILE=/does/not/exist",
			"HYCO_KEEPALIVE=-1s",
			"HYCO_LOG_FORMAT=xml",
			"HYCO_COLOUR=blue",
		}, []string{
			"HYCO_CONNECTION_0_ENDPOINT", "HYCO_CONNECTION_0_CONNECTION_STRING",
			"HYCO_CONNECTION_1_ENDPOINT", "HYCO_CONNECTION_1_CONNECTION_STRING_FILE",
			"HYCO_KEEPALIVE", "HYCO_LOG_FORMAT", "HYCO_COLOUR",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, subcommand := range []string{"run", "config"} {
				r := w.Run(t, w.App, world.Command{Env: c.env}, w.Program("hyco-sidecar"), subcommand)
				if r.Code != 2 {
					t.Errorf("%s: exit code %d, want 2\n%s", subcommand, r.Code, world.Tail(r.Stderr))
				}
				for _, want := range c.want {
					if !strings.Contains(r.Stderr, want) {
						t.Errorf("%s: the report does not say %s:\n%s", subcommand, want, r.Stderr)
					}
				}
				if strings.Contains(r.Stderr+r.Stdout, key) {
					t.Errorf("%s: the report shows the key:\n%s", subcommand, r.Stderr)
				}
			}
		})
	}
}

// TestAddressesInUseAreOneReport takes two of the sidecar's addresses before
// it starts.
func TestAddressesInUseAreOneReport(t *testing.T) {
	world.Needs(t)
	w := world.New(t)
	for _, address := range []string{"127.0.0.1:53", "127.77.1.1:8080"} {
		w.Serve(t, w.App, "silent", address)
	}
	r := w.Hyco(t, []string{
		"HYCO_CONNECTION_0_ENDPOINT=orders.corp.example:8080",
		"HYCO_CONNECTION_0_ADDRESS=127.77.1.1",
		"HYCO_CONNECTION_0_CONNECTION_STRING=Endpoint=sb://contoso.servicebus.example/;SharedAccessKeyName=defaultSender;SharedAccessKey=c2VuZA==;EntityPath=orders-hc",
	})
	if r.Code != 1 {
		t.Errorf("exit code %d, want 1", r.Code)
	}
	for _, want := range []string{"127.0.0.1:53", "127.77.1.1:8080"} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("the report does not name %s:\n%s", want, r.Stderr)
		}
	}
}
