package soak_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
)

// entry is one line of the sidecar's log.
type entry struct {
	Msg, Level, Endpoint, ID, Cause string
	Up, Down                        int64

	text string
}

// journal takes what the sidecar prints on stderr and keeps account of the
// connections in it.
type journal struct {
	lines map[string]chan entry // of connections that have ended, by endpoint

	mu       sync.Mutex
	partial  []byte
	accepted int
	open     map[string]entry // by id
	closed   int
	ready    chan struct{} // closed when the sidecar is
	notable  []string      // errors
	other    bytes.Buffer  // what is not a line of the log
}

func newJournal(endpoints []string) *journal {
	j := &journal{lines: make(map[string]chan entry), open: make(map[string]entry), ready: make(chan struct{})}
	for _, e := range endpoints {
		j.lines[e] = make(chan entry, 1)
	}
	return j
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		j.partial = append(j.partial, line...)
		if whole {
			j.line(j.partial)
			j.partial = j.partial[:0]
		}
		rest = after
	}
	return len(p), nil
}

func (j *journal) line(text []byte) {
	var e entry
	if json.Unmarshal(text, &e) != nil {
		j.other.Write(append(text, '\n'))
		return
	}
	e.text = string(text)
	switch e.Msg {
	case "ready":
		close(j.ready)
	case "connection accepted":
		j.accepted++
		j.open[e.ID] = e
	case "connection closed":
		j.closed++
		delete(j.open, e.ID)
		select {
		case j.lines[e.Endpoint] <- e:
		default:
			j.notable = append(j.notable, "a line too many: "+e.text)
		}
	default:
		if e.Level == "ERROR" {
			j.notable = append(j.notable, e.text)
		}
	}
}

// account is what the journal says in the end.
type account struct {
	accepted, closed int
	open             []string // lines of connections that were accepted and never closed
	notable          []string
	other            string
}

func (j *journal) account() account {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := account{accepted: j.accepted, closed: j.closed, notable: j.notable, other: j.other.String()}
	for _, e := range j.open {
		a.open = append(a.open, e.text)
	}
	return a
}

// alarms are the words of the runtime that a healthy program never prints.
func (a account) alarms() bool {
	return strings.Contains(a.other, "DATA RACE") || strings.Contains(a.other, "panic:") || strings.Contains(a.other, "fatal error:")
}
