// Package transcript reads recordings of what real programs said to each other
// over a hybrid connection, frame by frame. A stand-in is held to them, and a
// player can take the far side's part again.
//
// testdata has one folder for each program that was recorded. Two forms exist:
// JSON lines, with both legs of a connection (hcm, dotnet), and lines of text with
// the sender's leg alone (azbridge, aztunnel, node). Lines that begin with # say
// what the app and the target did, and what the app saw that day, which is not
// what is right.
package transcript

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Kind says what an event is.
type Kind string

// The kinds of events.
const (
	Open   Kind = "open"   // TCP
	HTTP   Kind = "http"   // first line of a request or an answer
	Data   Kind = "data"   // a run of data frames that are alike
	Close  Kind = "close"  // a Close frame
	Ping   Kind = "ping"   // a Ping frame
	Pong   Kind = "pong"   // a Pong frame
	Ended  Kind = "ended"  // the direction ended with TLS's close_notify or a FIN
	Broken Kind = "broken" // the connection was reset
)

// Event is one line of a recording.
type Event struct {
	At   time.Duration // since the recording of the connection began
	Near bool          // by the sender's side: the sidecar on its leg, the relay on the listener's
	Kind Kind

	Text bool // Data: of text messages

	Frames  int    // Data: how many
	Bytes   int64  // Data: of payload, all together
	Largest int64  // Data: payload of the largest frame
	First   []byte // Data: the first bytes of the first frame, as far as recorded

	Code   int    // Close
	Reason string // Close
	Line   string // HTTP
	Abrupt bool   // Ended: by a FIN alone, without TLS's close_notify
}

// Transcript is one recorded connection.
type Transcript struct {
	Name     string   // folder and file, without the ending
	Notes    []string // the lines that begin with #
	Sender   []Event  // what passed between sender and relay, in order of time
	Listener []Event  // what passed between relay and listener; empty where it was not recorded
}

// Read reads the recording in a file.
func Read(path string) (*Transcript, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &Transcript{Name: filepath.Base(filepath.Dir(path)) + "/" + strings.TrimSuffix(filepath.Base(path), ".txt")}
	var texts textReader
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case line == "":
		case strings.HasPrefix(line, "#"):
			t.Notes = append(t.Notes, strings.TrimSpace(strings.TrimLeft(line, "#")))
		case strings.HasPrefix(line, "["):
			err = t.addJSON(line)
		default:
			err = texts.add(t, line)
		}
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
	}
	return t, lines.Err()
}

// ReadAll reads every recording of a folder, in order of their names.
func ReadAll(folder string) ([]*Transcript, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []*Transcript
	for _, path := range paths {
		t, err := Read(path)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// Note returns what follows the first note that begins with prefix, "" without one.
func (t *Transcript) Note(prefix string) string {
	for _, note := range t.Notes {
		if rest, ok := strings.CutPrefix(note, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// AfterUpgrade is what follows the answer 101 on the sender's leg.
func (t *Transcript) AfterUpgrade() []Event {
	for i, e := range t.Sender {
		if e.Kind == HTTP && !e.Near {
			return t.Sender[i+1:]
		}
	}
	return nil
}
