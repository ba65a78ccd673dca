package browser_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/advice"
)

// fake serves the page as the sidecar does, with a status that the test makes
// up.
type fake struct {
	*httptest.Server

	mu     sync.Mutex
	status admin.Status
	broken http.HandlerFunc // instead of the status; nil = the status
}

func newFake(t *testing.T, status admin.Status) *fake {
	t.Helper()
	f := &fake{status: status}
	real := (&admin.Server{Monitor: admin.NewMonitor(admin.Options{}), Quit: func() {}}).Handler()
	mux := http.NewServeMux()
	mux.Handle("/", real)
	mux.HandleFunc("GET /api/status", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		body, err := json.Marshal(f.status)
		broken := f.broken
		f.mu.Unlock()
		switch {
		case broken != nil:
			broken(w, r)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body)
		}
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

// change changes the status.
func (f *fake) change(by func(*admin.Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	by(&f.status)
}

// breakWith answers with something else than the status; nil mends it.
func (f *fake) breakWith(broken http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = broken
}

// noon is the sidecar's clock in what is made up. The browser's is the real one.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) *time.Time { return new(noon.Add(-d)) }

// office is a sidecar with five endpoints, two of them in trouble.
func office() admin.Status {
	return admin.Status{
		Version:     "1.4.0",
		Started:     *before(51 * time.Hour),
		Now:         noon,
		State:       admin.Serving,
		Connections: admin.Connections{Open: 15, Limit: 4096},
		Endpoints: []admin.Endpoint{
			{
				Name: "sql01.corp.example:1433", Address: "127.77.133.98:1433",
				Namespace: "contoso.servicebus.windows.net", Entity: "sql01-hc", Credential: "key defaultSender",
				Health: admin.Healthy, Open: 12, Total: 4711, Failed: 3, Up: 432_013_312, Down: 8_912_896_000,
				LastJoined: before(4 * time.Second), JoinSeconds: 0.118,
				LastFailure: &admin.Failure{
					At: *before(26 * time.Hour), ID: "5d7c9d3e-0f4e-4d1e-9a39-3c3d5f2a7b10", Reason: "tunnel_dropped",
					Error: "relayclient: no answer to a ping within 10s", See: advice.See("tunnel_dropped"),
				},
			},
			{
				Name: "api.corp.example:443", Address: "127.77.20.4:443",
				Namespace: "contoso.servicebus.windows.net", Entity: "api-hc", Credential: "key defaultSender",
				Health: admin.Failing, Total: 118, Failed: 9, Up: 48_230, Down: 1_204_224,
				LastJoined: before(47 * time.Minute), JoinSeconds: 1.25,
				LastFailure: &admin.Failure{
					At: *before(9 * time.Second), ID: "0b6f9a52-7c1d-4c36-8f0e-64b5a3a3c9d1", Reason: "no_listener",
					Error:  `relayclient: no listener is connected (hybrid connection "api-hc", status 404)`,
					Status: 404, TrackingID: "1c2b8f6e-53d7-4f0a-9d0b-2f4f3a9e6c71_G12",
					Next: `start a Hybrid Connection Manager for "api-hc", or restart it if the portal shows it as connected`,
					See:  advice.See("no_listener"),
				},
			},
			{
				Name: "orders.fabrikam.example:8080", Address: "127.77.201.17:8080",
				Namespace: "fabrikam.servicebus.windows.net", Entity: "orders-hc", Credential: "key send",
				Health: admin.Failing, Total: 2, Failed: 2, Up: 1_536,
				LastJoined: before(70 * time.Second), JoinSeconds: 0.2,
				LastFailure: &admin.Failure{
					At: *before(68 * time.Second), ID: "9f31c0aa-52a6-4f3f-a2f3-d1a0b8f0c4e2", Reason: "target_unreachable_suspected",
					Next: "check from the Hybrid Connection Manager's machine that it resolves the endpoint's name and reaches its port",
					See:  advice.See("target_unreachable_suspected"),
				},
			},
			{
				Name: "kafka-1.corp.example:9092", Address: "127.77.64.240:9092",
				Namespace: "contoso.servicebus.windows.net", Entity: "kafka-1-hc", Credential: "key defaultSender",
				Health: admin.Healthy, Open: 3, Total: 27, Up: 9_437_184, Down: 734_003_200,
				LastJoined: before(3 * time.Minute), JoinSeconds: 0.094,
			},
			{
				Name: "ldap.corp.example:636", Address: "127.77.9.81:636",
				Namespace: "contoso.servicebus.windows.net", Entity: "ldap-hc", Credential: "key defaultSender",
				Health: admin.Unused,
			},
		},
		DNS: admin.DNS{
			Listen: []string{"127.0.0.1:53"}, Upstreams: []string{"10.0.0.10:53"},
			AppQueries: 20_482, LastAppQuery: before(2 * time.Second),
			Answers:  map[string]int64{"own": 6_204, "canary": 1, "forwarded": 3_911, "cache": 10_366, "stale": 0, "refused": 0},
			Siblings: []admin.Sibling{{Name: "kafka-2.corp.example", Configured: "kafka-1.corp.example"}},
		},
		Findings: []admin.Finding{
			{
				Level: "warning", Code: "resolv_conf_more_nameservers",
				Text: "/etc/resolv.conf names 10.0.0.10 besides this sidecar",
				Next: "make 127.0.0.1 the only nameserver: some C libraries ask all of them at once",
				See:  advice.See("resolv_conf_more_nameservers"),
			},
			{Level: "ok", Code: "clock", Text: "this machine's clock and the relay's differ by less than a second"},
		},
	}
}

// calm is office with every trouble gone.
func calm() admin.Status {
	s := office()
	for i := range s.Endpoints {
		s.Endpoints[i].Health, s.Endpoints[i].LastFailure = admin.Healthy, nil
	}
	s.DNS.Siblings, s.Findings = nil, nil
	return s
}

// campus has n endpoints, of which every seventh is failing.
func campus(n int) admin.Status {
	s := calm()
	s.Endpoints = nil
	for i := range n {
		e := calm().Endpoints[0]
		e.Name, e.Entity = fmt.Sprintf("host%03d.corp.example:1433", i), fmt.Sprintf("host%03d-hc", i)
		if i%7 == 3 {
			e.Health, e.LastFailure = admin.Failing, office().Endpoints[1].LastFailure
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}
