package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// tools are the programs that are not this project's, by path.
type tools struct{ dnsperf, dnsmasq, unbound string }

// A missingError says what is not installed and how to come by it.
type missingError struct{ packages []string }

func (e *missingError) Error() string {
	return fmt.Sprintf("not installed: on Debian, apt-get install --no-install-recommends %s", strings.Join(e.packages, " "))
}

// findTools looks where Debian puts servers, too, which is outside an ordinary
// PATH.
func findTools() (*tools, error) {
	t, missing := &tools{}, &missingError{}
	for _, tool := range []struct {
		path                *string
		name, debianPackage string
	}{
		{&t.dnsperf, "dnsperf", "dnsperf"},
		{&t.dnsmasq, "dnsmasq", "dnsmasq-base"},
		{&t.unbound, "unbound", "unbound"},
	} {
		var err error
		if *tool.path, err = exec.LookPath(tool.name); err == nil {
			continue
		}
		if *tool.path, err = exec.LookPath("/usr/sbin/" + tool.name); err != nil {
			missing.packages = append(missing.packages, tool.debianPackage)
		}
	}
	if len(missing.packages) > 0 {
		return nil, missing
	}
	return t, nil
}

// versions are those of the programs, with their names.
func (t *tools) versions(ctx context.Context) ([]string, error) {
	var all []string
	for _, tool := range []struct{ name, path, flag string }{
		{"dnsmasq", t.dnsmasq, "--version"},
		{"unbound", t.unbound, "-V"},
		{"dnsperf", t.dnsperf, "-h"},
	} {
		output, err := exec.CommandContext(ctx, tool.path, tool.flag).CombinedOutput()
		version := regexp.MustCompile(`(?i)version (\d[\w.]*)`).FindSubmatch(output)
		if version == nil {
			return nil, fmt.Errorf("%s %s does not tell the version: %v\n%s", tool.path, tool.flag, err, output)
		}
		all = append(all, tool.name+" "+string(version[1]))
	}
	return all, nil
}
