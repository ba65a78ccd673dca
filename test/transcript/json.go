package transcript

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

var errShape = errors.New("the line has another shape than its kind")

// addJSON adds a line of the form [leg, ms, who, kind, …]. Who is a party, or, for
// what travels, from>to.
func (t *Transcript) addJSON(line string) error {
	var fields []any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		return err
	}
	if len(fields) < 4 {
		return errShape
	}
	leg, ok1 := fields[0].(string)
	ms, ok2 := fields[1].(float64)
	who, ok3 := fields[2].(string)
	kind, ok4 := fields[3].(string)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return errShape
	}
	from, _, _ := strings.Cut(who, ">")
	e := Event{At: time.Duration(ms) * time.Millisecond, Kind: Kind(kind)}
	e.Near = from == "sidecar" || leg == "L" && from == "relay"
	args := fields[4:]
	number := func(i int) int64 {
		if i < len(args) {
			n, _ := args[i].(float64)
			return int64(n)
		}
		return 0
	}
	text := func(i int) string {
		if i < len(args) {
			s, _ := args[i].(string)
			return s
		}
		return ""
	}
	switch e.Kind {
	case Open, Ping, Pong:
	case HTTP:
		e.Line = text(0)
	case Data: // opcode, fin, frames, bytes, largest
		e.Text, e.Frames, e.Bytes, e.Largest = text(0) == "text", int(number(2)), number(3), number(4)
	case Close: // fin, length, code, reason
		e.Code, e.Reason = int(number(2)), text(3)
	case "tcp":
		return nil // the end that the next line tells of as TLS saw it
	case "end":
		e.Kind = Ended
		switch text(0) {
		case "RST":
			e.Kind = Broken
		case "close_notify":
		default:
			e.Abrupt = true
		}
	default:
		return fmt.Errorf("unknown kind %q", kind)
	}
	events := &t.Sender
	if leg == "L" {
		events = &t.Listener
	}
	*events = append(*events, e)
	return nil
}
