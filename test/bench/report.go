package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// The generated part of a document is between these lines.
const (
	reportBegin = "<!-- bench: written by `make bench` -->\n"
	reportEnd   = "<!-- end of bench -->\n"
)

// report is where and when, and the table.
func (b *bench) report() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s, %s, Linux %s, %s; medians of %s; it took %.0f s.\n\n",
		b.began.Format("2006-01-02"), processors(), kernel(), runtime.Version(), plural(b.rounds, "round"), b.took.Seconds())
	s.WriteString("| figure | hyco-sidecar | baseline | ratio | must reach | ok |\n|---|---|---|---|---|---|\n")
	for _, f := range b.figures {
		s.WriteString(f.row())
	}
	return s.String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// processors is the number and kind of those that the system has.
func processors() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // without it only the number is known
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "model name" {
			return fmt.Sprintf("%d × %s", runtime.NumCPU(), strings.TrimSpace(value))
		}
	}
	return plural(runtime.NumCPU(), "processor")
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "of an unknown version"
	}
	return strings.TrimSpace(string(release))
}

// replaceReport writes report into the generated part of the file.
func replaceReport(file, report string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), reportBegin)
	_, after, ok2 := strings.Cut(rest, reportEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the report: two lines, %q and %q", file, reportBegin, reportEnd)
	}
	return os.WriteFile(file, []byte(before+reportBegin+report+reportEnd+after), 0o644)
}
