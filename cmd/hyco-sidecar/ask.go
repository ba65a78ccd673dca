package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"hyco-sidecar/config"
)

// askTimeout is how long the running sidecar has for its answer. A probe's own
// time-out is mostly one second, but it counts from the start of the process.
const askTimeout = 3 * time.Second

// healthcheckCommand passes a probe's answer on as an exit code.
func healthcheckCommand(c *call, args []string) int {
	rest, code, ok := c.parse(args, 1)
	if !ok {
		return code
	}
	probe := "readyz"
	if len(rest) == 1 {
		probe = strings.TrimPrefix(rest[0], "/")
	}
	switch probe {
	case "livez", "readyz", "startupz":
	default:
		return c.misused(fmt.Errorf("there is no probe %q", probe))
	}
	status, body, err := c.ask("/" + probe)
	switch {
	case errors.As(err, new(*config.Fault)):
		return c.failed(exitInvalid, err)
	case err != nil:
		return c.failed(exitFailed, err)
	case status != http.StatusOK:
		return c.failed(exitFailed, fmt.Errorf("%s: %s", probe, strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", "; ")))
	}
	if answer := string(body); answer != "ok\n" {
		return c.failed(exitFailed, fmt.Errorf("what answers there is no sidecar: it says %.40q", answer))
	}
	fmt.Fprintln(c.stdout, "ok")
	return exitOK
}

// ask gets path from the running sidecar. Nothing is read from it that is not
// small.
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
	resp, err := client.Get("http://" + reachable(at[0]).String() + path)
	if err != nil {
		return 0, nil, fmt.Errorf("no sidecar answers at %s (HYCO_ADMIN_LISTEN): %w", at[0], errors.Unwrap(err))
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return resp.StatusCode, body, err
}

// reachable is where a listener on addr is reached from its own machine.
func reachable(addr netip.AddrPort) netip.AddrPort {
	switch addr.Addr().Unmap() {
	case netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	case netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
	return addr
}

// askJSON gets path from the running sidecar into a value, and as it is.
func (c *call) askJSON(path string, into any) (raw []byte, err error) {
	status, body, err := c.ask(path)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("what answers there is no sidecar of this version: status %d", status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, fmt.Errorf("what answers there is no sidecar of this version: %w", err)
	}
	return body, nil
}
