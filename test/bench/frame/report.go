package frame

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Lines are those between which the generated part of a document is.
func (b *Benchmark) Lines() (begin, end string) {
	return fmt.Sprintf("<!-- %s: written by `make %[1]s` -->\n", b.Name), fmt.Sprintf("<!-- end of %s -->\n", b.Name)
}

// report is where and when, and the table.
func (r *Run) report() string {
	var s strings.Builder
	where := []string{r.began.Format("2006-01-02"), processors(), "Linux " + kernel(), runtime.Version()}
	fmt.Fprintf(&s, "%s; medians of %s; it took %.0f s.\n\n",
		strings.Join(append(where, r.Versions...), ", "), plural(r.Rounds, "round"), r.took.Seconds())
	s.WriteString(header(r.columns))
	for _, f := range r.figures {
		s.WriteString(f.row(r.columns))
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
func (b *Benchmark) replaceReport(file, report string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := b.Lines()
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no place for the report: two lines, %q and %q", file, begin, end)
	}
	return os.WriteFile(file, []byte(before+begin+report+end+after), 0o644)
}
