package config_test

import (
	"fmt"
	"strings"
	"testing"

	"hyco-sidecar/config"
)

func TestAddressesAreEndpointsWithCapture(t *testing.T) {
	c := load(t, "HYCO_CAPTURE=redirect", "HYCO_CONNECTION_STRING="+namespace,
		"HYCO_ENDPOINTS=10.1.2.3:1433=a,[fd00::7]:5432=b,[::ffff:10.1.2.3]:80=c,db.corp.example:1=d")
	want := []string{"10.1.2.3 1433 10.1.2.3 true", "fd00::7 5432 fd00::7 true", "10.1.2.3 80 10.1.2.3 true", "db.corp.example 1 127.77.163.68 false"}
	for i, c := range c.Connections {
		got := fmt.Sprint(c.Host, " ", c.Port, " ", c.Address, " ", c.Literal)
		if i < 3 && got != want[i] || i == 3 && (c.Literal || !c.Address.IsLoopback()) {
			t.Errorf("got %s, want %s", got, want[i])
		}
	}

	// An address is looked up by nobody, so it may be the relay's own.
	load(t, "HYCO_CAPTURE=redirect", "HYCO_CONNECTION_0_ENDPOINT=10.1.2.3:443",
		"HYCO_CONNECTION_0_CONNECTION_STRING=Endpoint=sb://10.1.2.3/;EntityPath=a")

	_, err := config.Load([]string{"HYCO_CAPTURE=redirect", "HYCO_CONNECTION_STRING=" + namespace,
		"HYCO_ENDPOINTS=127.0.0.1:1=a,[::1]:2=a,0.0.0.0:3=a,224.0.0.1:4=a,[fe80::1%eth0]:5=a,10.1.2.3:6=a,10.1.2.3:6=b"})
	reports(t, err,
		`HYCO_ENDPOINTS: "127.0.0.1" is not the address of another machine: write the address as the app does`,
		`HYCO_ENDPOINTS: "::1" is not`, `HYCO_ENDPOINTS: "0.0.0.0" is not`, `HYCO_ENDPOINTS: "224.0.0.1" is not`, `HYCO_ENDPOINTS: "fe80::1%eth0" is not`,
		"HYCO_ENDPOINTS: 10.1.2.3:6 is listed twice")

	_, err = config.Load([]string{"HYCO_CAPTURE=redirect", "HYCO_CONNECTION_0_ENDPOINT=10.1.2.3:1433", "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal,
		"HYCO_CONNECTION_0_ADDRESS=127.1.2.3"})
	reports(t, err, "HYCO_CONNECTION_0_ADDRESS: HYCO_CONNECTION_0_ENDPOINT is an IP address, which needs no stand-in address: remove it")

	_, err = config.Load(one("HYCO_CAPTURE=tproxy", "HYCO_CAPTURE_PORT=0"))
	reports(t, err, `HYCO_CAPTURE: "tproxy" is not allowed: write off or redirect`, `HYCO_CAPTURE_PORT: "0" does not fit: write a number from 1 to 65535`)
}

// discovered is three endpoints, the first and the last of which are discovered.
func discovered(t *testing.T, endpoints ...string) (config.Config, error) {
	t.Helper()
	c := load(t,
		"HYCO_CONNECTION_0_ENDPOINT=auto", "HYCO_CONNECTION_0_CONNECTION_STRING="+portal,
		"HYCO_CONNECTION_1_ENDPOINT=db.corp.example:5432", "HYCO_CONNECTION_1_CONNECTION_STRING="+portal,
		"HYCO_CONNECTION_2_ENDPOINT=Auto", "HYCO_CONNECTION_2_CONNECTION_STRING="+portal)
	if a := c.Connections[0].Address; a.IsValid() || !c.Connections[1].Address.IsValid() {
		t.Errorf("an endpoint that nobody knows has the address %v", a)
	}
	return c.Discovered(endpoints)
}

func TestDiscoveredEndpointsAreLikeWrittenOnes(t *testing.T) {
	found, err := discovered(t, "SQL01.corp.example:1433", "db.corp.example:80")
	if err != nil {
		t.Fatal(err)
	}
	written := load(t, "HYCO_CONNECTION_STRING="+portal[:strings.Index(portal, ";EntityPath")],
		"HYCO_ENDPOINTS=sql01.corp.example:1433=a,db.corp.example:5432=b,db.corp.example:80=c")
	for i, want := range written.Connections {
		got := found.Connections[i]
		if got.Host != want.Host || got.Port != want.Port || got.Address != want.Address || got.Discover {
			t.Errorf("got %s:%d at %s, want %s:%d at %s", got.Host, got.Port, got.Address, want.Host, want.Port, want.Address)
		}
	}
}

func TestDiscoveredEndpointFaults(t *testing.T) {
	_, err := discovered(t, "sql01.corp.example", "10.1.2.3:80")
	reports(t, err, `HYCO_CONNECTION_0_ENDPOINT: auto: in the hybrid connection's metadata, "sql01.corp.example" is not host:port: correct the metadata, or write host:port instead of auto`,
		`HYCO_CONNECTION_2_ENDPOINT: auto: in the hybrid connection's metadata, "10.1.2.3" is an IP address`)
	_, err = discovered(t, "sql01.corp.example:1433", "DB.corp.example:5432")
	reports(t, err, "HYCO_CONNECTION_2_ENDPOINT: db.corp.example:5432 is listed in HYCO_CONNECTION_1_ENDPOINT already")
	_, err = config.Load([]string{"HYCO_CONNECTION_0_ENDPOINT=auto", "HYCO_CONNECTION_0_CONNECTION_STRING=" + portal, "HYCO_CONNECTION_0_ADDRESS=127.1.2.3"})
	reports(t, err, "HYCO_CONNECTION_0_ADDRESS: the host is not known before discovery (HYCO_CONNECTION_0_ENDPOINT=auto): write host:port in HYCO_CONNECTION_0_ENDPOINT")
}
