package admin

import "time"

// Status is what /api/status answers, and all that the status page and
// `hyco-sidecar status` know. It holds no secret.
type Status struct {
	Version     string      `json:"version"`
	Started     time.Time   `json:"started"`
	Now         time.Time   `json:"now"`
	State       State       `json:"state"`
	Connections Connections `json:"connections"`
	Endpoints   []Endpoint  `json:"endpoints"` // in the order of the settings
	DNS         DNS         `json:"dns"`
	Findings    []Finding   `json:"findings"` // of the look around at the start
}

// State says what the process does.
type State string

// The states, in their order.
const (
	Starting State = "starting" // not every socket is bound yet
	Serving  State = "serving"
	Draining State = "draining" // after SIGTERM
)

// Connections are those of all endpoints.
type Connections struct {
	Open  int64 `json:"open"` // dialled or joined
	Limit int   `json:"limit"`
}

// Endpoint is one host:port of the settings, and how its connections fare.
type Endpoint struct {
	Name       string `json:"name"`    // host:port as the app writes it
	Address    string `json:"address"` // where it is accepted
	Namespace  string `json:"namespace"`
	Entity     string `json:"entity"`     // name of the hybrid connection
	Listener   string `json:"listener"`   // its kind: hcm, azbridge or aztunnel
	Credential string `json:"credential"` // what is presented, by name: "key defaultSender", "key send (secondary)"

	Listeners *int `json:"listeners,omitempty"` // that are connected, where the relay was asked for the endpoint

	Health Health `json:"health"`
	Open   int64  `json:"open"`
	Total  int64  `json:"total"`  // accepted since the start
	Failed int64  `json:"failed"` // those of them that no listener took, that reached no target, or whose tunnel broke off
	Up     int64  `json:"up"`     // bytes from the app to the target
	Down   int64  `json:"down"`   // bytes from the target to the app

	LastJoined  *time.Time `json:"last_joined,omitempty"`  // when a listener last took a connection
	JoinSeconds float64    `json:"join_seconds,omitempty"` // what that took, from accept
	LastFailure *Failure   `json:"last_failure,omitempty"`
}

// Health is how the last connection of an endpoint fared. It is learnt from the
// app's connections alone: a probe of our own would have the listener dial its
// target.
type Health string

// What is known of an endpoint.
const (
	Unused  Health = "unused"  // no connection has ended its dial yet
	Healthy Health = "healthy" // the last one was taken by a listener, as far as is known by one that reaches the target
	Failing Health = "failing" // no listener took the last one, or it reached no target: LastFailure tells
)

// Failure is one connection that failed.
type Failure struct {
	At         time.Time `json:"at"`
	ID         string    `json:"id"`     // of the connection, as in the log
	Reason     string    `json:"reason"` // a stable label: no_listener, target_unreachable_suspected …
	Error      string    `json:"error"`  // in words; empty where Reason is all that is known
	Status     int       `json:"status,omitempty"`
	TrackingID string    `json:"tracking_id,omitempty"` // Azure's, for a support request
	Next       string    `json:"next,omitempty"`        // what to do
	See        string    `json:"see,omitempty"`         // the documentation's entry about Reason
}

// DNS is how the resolver is used.
type DNS struct {
	Listen       []string         `json:"listen"`
	Upstreams    []string         `json:"upstreams"`
	AppQueries   uint64           `json:"app_queries"` // of apps, own names and others; 0: nobody uses this resolver
	LastAppQuery *time.Time       `json:"last_app_query,omitempty"`
	Answers      map[string]int64 `json:"answers"`            // by source: own, canary, forwarded, cache, stale, refused
	Siblings     []Sibling        `json:"siblings,omitempty"` // newest last
}

// Sibling is a name that an app asked for in vain next to a configured one.
type Sibling struct {
	Name       string `json:"name"`
	Configured string `json:"configured"`
}

// Finding is one thing that was seen at the start.
type Finding struct {
	Level string `json:"level"` // ok, warning or error
	Code  string `json:"code"`  // a stable label: resolv_conf_elsewhere …
	Text  string `json:"text"`
	Next  string `json:"next,omitempty"`
	See   string `json:"see,omitempty"`
}
