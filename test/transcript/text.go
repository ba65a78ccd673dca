package transcript

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// textReader reads lines of the form "c3 +12.5ms < close fin=1 … code=1000
// reason="Shutdown"": the connection's number, the time since it began, who (> is
// the sender), and what. A file may have lines of other connections; the first to
// make a request is the one that is read.
type textReader struct{ connection string }

var (
	textLine = regexp.MustCompile(`^(c\d+) \+([\d.]+)ms ([<>]) (.*)$`)
	moreData = regexp.MustCompile(`^\.\.\. (\d+) more large frames, (\d+) bytes$`)
	field    = regexp.MustCompile(`(\w+)=("(?:[^"\\]|\\.)*"|\S+)`)
)

func (r *textReader) add(t *Transcript, line string) error {
	m := textLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("%q is not a line of a recording", line)
	}
	ms, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return err
	}
	e := Event{At: time.Duration(ms * float64(time.Millisecond)), Near: m[3] == ">"}
	if r.connection == "" && strings.HasPrefix(m[4], "HTTP ") {
		r.connection = m[1]
	}
	if r.connection != m[1] {
		return nil
	}
	if err := e.parse(m[4]); err != nil {
		return err
	}
	t.Sender = append(t.Sender, e)
	return nil
}

func (e *Event) parse(what string) error {
	if m := moreData.FindStringSubmatch(what); m != nil {
		e.Kind = Data
		e.Frames, _ = strconv.Atoi(m[1])
		e.Bytes, _ = strconv.ParseInt(m[2], 10, 64)
		return nil
	}
	fields := make(map[string]string)
	for _, m := range field.FindAllStringSubmatch(what, -1) {
		fields[m[1]] = m[2]
	}
	word, rest, _ := strings.Cut(what, " ")
	switch word {
	case "HTTP":
		e.Kind, e.Line = HTTP, rest
	case "bin", "text":
		first, err := hex.DecodeString(fields["first"])
		if err != nil {
			return err
		}
		length, err := strconv.ParseInt(fields["len"], 10, 64)
		if err != nil {
			return err
		}
		e.Kind, e.Text, e.Frames, e.Bytes, e.Largest, e.First = Data, word == "text", 1, length, length, first
	case "close":
		e.Kind = Close
		e.Code, _ = strconv.Atoi(fields["code"]) // a Close without one has none
		e.Reason, _ = strconv.Unquote(fields["reason"])
	case "ping":
		e.Kind = Ping
	case "pong":
		e.Kind = Pong
	case "TLS", "closed":
		e.Kind = Ended
	case "error":
		e.Kind = Broken
	default:
		return fmt.Errorf("unknown event %q", what)
	}
	return nil
}
