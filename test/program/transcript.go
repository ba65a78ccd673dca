package program

import (
	"bytes"
	"context"
	"errors"
	"sync"
)

// Transcript is all that a process has printed on one stream so far. It is safe
// for concurrent use.
type Transcript struct {
	mu    sync.Mutex
	text  []byte
	ended bool
	grown chan struct{} // closed by the next change; nil when nobody waits
}

var errEnded = errors.New("it has ended")

// Write adds p.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.wakeLocked()
	return len(p), nil
}

func (t *Transcript) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.wakeLocked()
}

// changeLocked is the channel that the next wakeLocked closes.
func (t *Transcript) changeLocked() <-chan struct{} {
	if t.grown == nil {
		t.grown = make(chan struct{})
	}
	return t.grown
}

// wakeLocked tells everybody who waits for a change.
func (t *Transcript) wakeLocked() {
	if t.grown != nil {
		close(t.grown)
		t.grown = nil
	}
}

func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// Tail is the end of the text, n bytes at most.
func (t *Transcript) Tail(n int) string { return Tail(t.String(), n) }

// Follow returns the text so far, and a channel that is closed when it grows or
// ends.
func (t *Transcript) Follow() (text string, grown <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text), t.changeLocked()
}

// Tail is the end of text, n bytes at most, with a mark where something was cut.
func Tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "…" + text[len(text)-n:]
}

// await returns the first line that contains text.
func (t *Transcript) await(ctx context.Context, text string) (string, error) {
	for at := 0; ; {
		line, next, ended, grown := t.find(at, text)
		switch {
		case line != nil:
			return string(line), nil
		case ended:
			return "", errEnded
		}
		at = next
		select {
		case <-grown:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// find looks through the whole lines from the offset at on. Without a find, next
// is where to go on, once grown is closed.
func (t *Transcript) find(at int, text string) (line []byte, next int, ended bool, grown <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		length := bytes.IndexByte(t.text[at:], '\n')
		if length < 0 {
			break
		}
		if line := t.text[at : at+length]; bytes.Contains(line, []byte(text)) {
			return line, 0, false, nil
		}
		at += length + 1
	}
	if t.ended {
		return nil, 0, true, nil
	}
	return nil, at, false, t.changeLocked()
}
