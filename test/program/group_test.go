package program

import (
	"strings"
	"testing"
)

func TestGroupEndsTogether(t *testing.T) {
	var g Group
	defer g.Kill()
	var all []*Process
	for range 3 {
		p, err := g.Start(Command{Path: "/bin/sh", Args: []string{"-c", "exec sleep 60"}})
		if err != nil {
			t.Skip(err)
		}
		all = append(all, p)
	}
	g.Kill()
	for _, p := range all {
		if code := p.ExitCode(); code != -1 {
			t.Errorf("%s ended with exit code %d, not by a signal", p.Name(), code)
		}
	}
	if _, err := g.Start(Command{Path: "/bin/sh"}); err == nil || !strings.Contains(err.Error(), "not started") {
		t.Errorf("started in a group that was killed: %v", err)
	}
}
