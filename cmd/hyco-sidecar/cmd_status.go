package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/config"
)

var statusCommand = command{
	name:    "status",
	usage:   []string{"status [--json]"},
	summary: "print how the running sidecar's endpoints and resolver fare",
	about: `Asks the running sidecar at HYCO_ADMIN_LISTEN. --json prints what /api/status
says. Exit codes: 0 it answered, 1 it did not.
`,
	run: showStatus,
}

// showStatus prints the running sidecar's status.
func showStatus(c *call, args []string) int {
	asJSON := c.flags.Bool("json", false, "")
	if _, code, ok := c.parse(args, 0); !ok {
		return code
	}
	var s admin.Status
	raw, err := c.askJSON("/api/status", &s)
	switch {
	case errors.As(err, new(*config.Fault)):
		return c.fail(exitInvalid, err)
	case err != nil:
		return c.fail(exitFailed, err)
	case *asJSON:
		c.stdout.Write(raw)
	default:
		printStatus(c.stdout, s)
	}
	return exitOK
}

// printStatus prints s as a person reads it.
func printStatus(w io.Writer, s admin.Status) {
	fmt.Fprintf(w, "hyco-sidecar %s, %s, started %s; %d of at most %d connections open\n",
		s.Version, s.State, ago(s.Now, s.Started), s.Connections.Open, s.Connections.Limit)
	listen := strings.Join(s.DNS.Listen, ", ")
	if s.DNS.LastAppQuery == nil {
		fmt.Fprintf(w, "resolver %s: no app has asked it for a name: does the app's /etc/resolv.conf name it?\n", listen)
	} else {
		fmt.Fprintf(w, "resolver %s: %d queries of apps, the last one %s\n", listen, s.DNS.AppQueries, ago(s.Now, *s.DNS.LastAppQuery))
	}
	for _, f := range s.Findings {
		if f.Level != "ok" {
			fmt.Fprintf(w, "at the start, %s: %s\n", f.Level, f.Text)
			printAdvice(w, f.Next, f.See)
		}
	}
	fmt.Fprintln(w)

	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ENDPOINT\tHYBRID CONNECTION\tLISTENERS\tHEALTH\tOPEN\tTOTAL\tFAILED\tUP\tDOWN\tLAST JOINED")
	for _, e := range s.Endpoints {
		joined := "never"
		if e.LastJoined != nil {
			joined = ago(s.Now, *e.LastJoined)
		}
		listeners := "-"
		if e.Listeners != nil {
			listeners = strconv.Itoa(*e.Listeners)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", e.Name, e.Entity, listeners,
			e.Health, e.Open, e.Total, e.Failed, size(e.Up), size(e.Down), joined)
	}
	tw.Flush()
	for _, e := range s.Endpoints {
		if f := e.LastFailure; f != nil && e.Health == admin.Failing {
			fmt.Fprintf(w, "\n%s: %s, %s", e.Name, f.Reason, ago(s.Now, f.At))
			if f.Error != "" {
				fmt.Fprintf(w, ": %s", f.Error)
			}
			if f.TrackingID != "" {
				fmt.Fprintf(w, " (Azure tracking id %s)", f.TrackingID)
			}
			fmt.Fprintln(w)
			printAdvice(w, f.Next, f.See)
		}
	}
}

func printAdvice(w io.Writer, next, see string) {
	if next != "" {
		fmt.Fprintf(w, "  next: %s\n", next)
	}
	if see != "" {
		fmt.Fprintf(w, "  see: %s\n", see)
	}
}

// ago says how long before now something was.
func ago(now, then time.Time) string {
	return now.Sub(then).Round(time.Second).String() + " ago"
}

// size is a number of bytes in the unit that suits it.
func size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/(1<<10), "KiB"
	for _, larger := range []string{"MiB", "GiB", "TiB"} {
		if value < 1<<10 {
			break
		}
		value, unit = value/(1<<10), larger
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
