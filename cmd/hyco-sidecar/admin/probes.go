package admin

import (
	"fmt"
	"net/http"
	"slices"
)

// condition is one thing that a probe wants to hold. Whether the relay can be
// reached is none: a probe that depends on a remote service takes healthy apps
// down with it.
type condition struct {
	name    string
	well    string // what it says while it holds
	problem string // empty while it holds
}

func (m *Monitor) started() condition {
	c := condition{name: "sockets", well: "bound"}
	if m.current() == Starting {
		c.problem = "not every socket is bound yet"
	}
	return c
}

func (m *Monitor) staying() condition {
	c := condition{name: "draining", well: "no"}
	if m.current() == Draining {
		c.problem = "the process has been told to end"
	}
	return c
}

func (m *Monitor) room() condition {
	c := condition{name: "connections", well: "below HYCO_MAX_CONNECTIONS"}
	if m.open.Load() >= int64(m.limit) {
		c.problem = fmt.Sprintf("%d are open, as many as HYCO_MAX_CONNECTIONS allows", m.limit)
	}
	return c
}

// ready are the conditions for connections to be served.
func (m *Monitor) ready() []condition {
	all := []condition{m.started(), m.staying(), m.room()}
	if in := m.captured.Load(); in != nil {
		c := condition{name: "capture", well: "the rules are in place"}
		if !*in {
			c.problem = "the capture rules are gone"
		}
		all = append(all, c)
	}
	return all
}

// answerProbe answers ok, or 503 with the failed conditions. With ?verbose it names
// all conditions.
func answerProbe(w http.ResponseWriter, r *http.Request, all ...condition) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	holds := !slices.ContainsFunc(all, func(c condition) bool { return c.problem != "" })
	if !holds {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	verbose := r.URL.Query().Has("verbose")
	for _, c := range all {
		switch {
		case c.problem != "":
			fmt.Fprintf(w, "%s: %s\n", c.name, c.problem)
		case verbose:
			fmt.Fprintf(w, "%s: %s\n", c.name, c.well)
		}
	}
	if holds {
		fmt.Fprintln(w, "ok")
	}
}
