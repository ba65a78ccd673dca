package discovery

import (
	"errors"
	"strings"
	"testing"

	"hyco-sidecar/config"
	"hyco-sidecar/relayclient"
)

// TestWhatMayPassIsToldFromWhatIsWrong: the first has the process started again, the
// second is a report about the settings.
func TestWhatMayPassIsToldFromWhatIsWrong(t *testing.T) {
	away := &relayclient.DialError{Entity: "sql01-hc", Host: "contoso.servicebus.windows.net:443", Stage: relayclient.StageConnect, Err: errors.New("connection refused")}
	refused := &relayclient.DialError{Entity: "api-hc", Host: "contoso.servicebus.windows.net:443", Stage: relayclient.StageUpgrade, Status: 401, Err: relayclient.ErrUnauthorized}
	wanted := []config.Connection{
		{Variable: "HYCO_CONNECTION_0_ENDPOINT", Discover: true, Entity: "sql01-hc"},
		{Variable: "HYCO_CONNECTION_1_ENDPOINT", Discover: true, Entity: "api-hc"},
	}
	for _, test := range []struct {
		name  string
		found []answer
		later bool
		want  string
	}{
		{"one is away", []answer{{err: away}, {endpoint: "api.corp.example:443"}}, true, "HYCO_CONNECTION_0_ENDPOINT: auto: "},
		{"one is wrong", []answer{{endpoint: "sql01.corp.example:1433"}, {err: refused}}, false, "HYCO_CONNECTION_1_ENDPOINT: auto: "},
		{"one is away, one is wrong", []answer{{err: away}, {err: refused}}, false, "HYCO_CONNECTION_1_ENDPOINT: auto: "},
	} {
		_, err := new(Discoverer).conclude(wanted, test.found)
		if err == nil || errors.Is(err, ErrLater) != test.later || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q, later: %v", test.name, err, test.want, test.later)
		}
	}
}

func TestNothingIsAskedWhereAllIsKnown(t *testing.T) {
	cfg := config.Config{Connections: []config.Connection{{Host: "sql01.corp.example", Port: 1433}}}
	if Needed(cfg) {
		t.Error("it wants to ask")
	}
	got, err := (&Discoverer{Config: cfg}).Run(t.Context())
	if err != nil || len(got.Connections) != 1 || got.Connections[0].Host != "sql01.corp.example" {
		t.Errorf("got %+v, %v", got, err)
	}
}
