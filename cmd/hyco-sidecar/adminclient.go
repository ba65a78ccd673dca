package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/config"
)

// askTimeout is how long the running sidecar has for its answer. A probe's own
// time-out is mostly one second, but it counts from the start of the process.
const askTimeout = 3 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// ask gets path from the running sidecar at HYCO_ADMIN_LISTEN. Its error is a
// *[config.Fault] for a setting.
func (c *call) ask(path string) (status int, body []byte, err error) {
	at, err := config.AdminListen(c.environ)
	if err != nil {
		return 0, nil, err
	}
	if len(at) == 0 {
		return 0, nil, errors.New("HYCO_ADMIN_LISTEN is off, so the sidecar cannot be asked")
	}
	client := http.Client{
		Timeout:   askTimeout,
		Transport: &http.Transport{DisableKeepAlives: true}, // and no proxy
	}
	resp, err := client.Get("http://" + plan.Reachable(at[0]).String() + path)
	if err != nil {
		return 0, nil, fmt.Errorf("no sidecar answers at %s (HYCO_ADMIN_LISTEN): %w", at[0], errors.Unwrap(err))
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}

// askJSON gets path from the running sidecar into a value, and as the sidecar has
// written it.
func (c *call) askJSON(path string, into any) (raw []byte, err error) {
	status, body, err := c.ask(path)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("that server is not a hyco-sidecar of this version: status %d", status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, fmt.Errorf("that server is not a hyco-sidecar of this version: %w", err)
	}
	return body, nil
}
