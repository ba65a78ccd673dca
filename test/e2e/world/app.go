//go:build linux

package world

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// Client is an app that takes one step at a time: role "client", where the steps
// are listed.
type Client struct {
	*Process
	answered int // bytes of stdout that earlier steps have taken
}

// StartClient starts an app in app, which does nothing yet.
func (w *World) StartClient(t testing.TB) *Client {
	t.Helper()
	return &Client{Process: w.Role(t, w.App, "client")}
}

// Client starts an app in app and connects it to address.
func (w *World) Client(t testing.TB, address string) *Client {
	t.Helper()
	c := w.StartClient(t)
	c.MustDo(t, "dial "+address, "ok")
	return c
}

// Attempt starts an app in app that connects to address and reads to the end. Its
// first answer is what came of that.
func (w *World) Attempt(t testing.TB, address string) *Client {
	t.Helper()
	c := w.StartClient(t)
	c.Begin(t, "attempt "+address)
	return c
}

// Do takes one step and returns its answer.
func (c *Client) Do(t testing.TB, step string) string {
	t.Helper()
	c.Begin(t, step)
	return c.Answer(t, Patience)
}

// MustDo is Do for a step with a known answer.
func (c *Client) MustDo(t testing.TB, step, want string) {
	t.Helper()
	if got := c.Do(t, step); got != want {
		t.Fatalf("client: %s: got %q, want %q", step, got, want)
	}
}

// Begin starts a step without waiting for its end.
func (c *Client) Begin(t testing.TB, step string) {
	t.Helper()
	c.Tell(t, step)
}

// Answer waits for the answer to the oldest step that has none yet.
func (c *Client) Answer(t testing.TB, within time.Duration) string {
	t.Helper()
	text := c.Await(t, &c.Stdout, within, "an answer", func(out string) bool {
		return strings.Contains(out[c.answered:], "\n")
	})
	line, _, _ := strings.Cut(text[c.answered:], "\n")
	c.answered += len(line) + 1
	return line
}

// Crowd starts count apps in app, so many of them at once, that all do verb: role
// "crowd", where the verbs are listed.
func (w *World) Crowd(t testing.TB, verb string, count, atOnce int, addresses ...string) *Process {
	t.Helper()
	return w.Role(t, w.App, "crowd", append([]string{verb, strconv.Itoa(count), strconv.Itoa(atOnce)}, addresses...)...)
}
