package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"hyco-sidecar/test/fakerelay"
)

// readKeys reads the keys of the sender's rule.
func readKeys(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys := strings.Fields(string(text))
	if len(keys) < 1 || len(keys) > 2 {
		return nil, fmt.Errorf("%s holds %d keys: write one or two, a line each", path, len(keys))
	}
	return keys, nil
}

// rekey takes the keys that the file of -send-keys holds from now on.
func (d *devrelay) rekey(server *fakerelay.Server) error {
	keys, err := readKeys(d.sendKeys)
	if err != nil {
		return err
	}
	d.sender.Key, d.sender.Secondary = keys[0], ""
	if len(keys) == 2 {
		d.sender.Secondary = keys[1]
	}
	for _, e := range d.entities {
		server.AddEntity(d.hybridConnection(e))
	}
	return nil
}

// rekeyOnHangup reads the keys again at every SIGHUP, until ctx ends.
func (d *devrelay) rekeyOnHangup(ctx context.Context, server *fakerelay.Server, stdout io.Writer) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		if err := d.rekey(server); err != nil {
			d.log.Error("the keys stay as they are", "error", err)
			continue
		}
		fmt.Fprintln(stdout, "# keys read")
	}
}
