package check

import (
	"encoding/json"
	"io"
	"slices"
)

// Stage is one leg of the way from the app to its target.
type Stage string

// The stages.
const (
	Configuration Stage = "configuration" // host:port is in the settings
	Resolver      Stage = "resolver"      // the machine's resolver gives the stand-in address
	Socket        Stage = "socket"        // somebody accepts there
	RelayName     Stage = "relay name"    // the relay's name resolves
	RelayPort     Stage = "relay port"    // TCP to the relay, or to the proxy and through it
	RelayTLS      Stage = "relay TLS"     // its certificate is trusted
	Token         Stage = "token"         // the relay accepts the token
	Listener      Stage = "listener"      // a listener takes the connection
	Target        Stage = "target"        // the target says something
)

// Stages are all stages in their order.
var Stages = []Stage{Configuration, Resolver, Socket, RelayName, RelayPort, RelayTLS, Token, Listener, Target}

// Outcome is what became of a stage.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped" // not asked for, not begun, or an earlier stage failed
)

// Step is one stage of a walk. Verdict, Next, See and TrackingID are those of a
// failure.
type Step struct {
	Stage      Stage    `json:"stage"`
	Outcome    Outcome  `json:"result"`
	Seconds    float64  `json:"seconds"`
	Saw        string   `json:"saw"` // what was found, or why the stage was skipped
	Verdict    Verdict  `json:"verdict,omitempty"`
	Next       string   `json:"next,omitempty"` // what to do
	See        string   `json:"see,omitempty"`  // the documentation's entry
	TrackingID string   `json:"tracking_id,omitempty"`
	Notes      []string `json:"notes,omitempty"`
}

// Result is the walk of one endpoint.
type Result struct {
	Endpoint   string  `json:"endpoint"` // host:port
	Address    string  `json:"address,omitempty"`
	Namespace  string  `json:"namespace,omitempty"`
	Entity     string  `json:"entity,omitempty"`
	Credential string  `json:"credential,omitempty"`
	ID         string  `json:"id,omitempty"`
	Verdict    Verdict `json:"verdict"`
	ExitCode   int     `json:"exit_code"`
	Stages     []Step  `json:"stages"`
}

// Report is one run of a check.
type Report struct {
	Version   string   `json:"version"`
	Verdict   Verdict  `json:"verdict"` // of the first endpoint that is not healthy
	ExitCode  int      `json:"exit_code"`
	Seconds   float64  `json:"seconds"`
	Endpoints []Result `json:"endpoints"` // in the order asked for
}

// WriteJSON writes the report as one document.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// judge sums the endpoints up.
func (r *Report) judge() {
	r.Verdict = Healthy
	if i := slices.IndexFunc(r.Endpoints, func(e Result) bool { return e.Verdict != Healthy }); i >= 0 {
		r.Verdict = r.Endpoints[i].Verdict
	}
	r.ExitCode = r.Verdict.ExitCode()
}

// skipAll is the verdict of a walk that the check had no time for.
func (r *Result) skipAll() {
	r.Verdict, r.ExitCode = Unfinished, Unfinished.ExitCode()
	for _, s := range Stages[len(r.Stages):] {
		r.Stages = append(r.Stages, Step{Stage: s, Outcome: Skipped, Saw: "not begun"})
	}
}

// judge sums the stages up and fills in those that were not come to.
func (r *Result) judge() {
	r.Verdict = Healthy
	for _, s := range r.Stages {
		if s.Outcome == Failed {
			r.Verdict = s.Verdict
			break
		}
	}
	r.ExitCode = r.Verdict.ExitCode()
	for _, s := range Stages[len(r.Stages):] {
		r.Stages = append(r.Stages, Step{Stage: s, Outcome: Skipped, Saw: "an earlier stage failed"})
	}
}
