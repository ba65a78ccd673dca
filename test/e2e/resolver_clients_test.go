//go:build linux

package e2e_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

// resolverClient is one of the resolvers that apps have.
type resolverClient struct {
	name     string
	needs    []string
	notFound string // what it calls NXDOMAIN, and nothing else
	tryAgain string // what it calls SERVFAIL; set where a test needs it

	// A program of testdata that speaks the protocol of lookup.c, given names
	// and host:port, in the environment env. build makes output, if it is not
	// there. Empty for a tool.
	program, env  []string
	build, output string

	tool *lookupTool // only looks up, and has words of its own for what it saw
	page []string    // fetches the URL behind it; nil for what fetches by itself or cannot
}

// sighting is what a client saw of one name or page.
type sighting struct {
	of   string // the name, or host:port
	saw  string // addresses, the body, or the client's words for the failure
	took time.Duration
}

// resolverClients is everybody of the matrix.
func resolverClients(t *testing.T) []resolverClient {
	t.Helper()
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(testdata, name) }
	jvm := []string{"java", "-XX:TieredStopAtLevel=1", "-cp", "."}
	javac := "javac -d . " + in("Lookup.java")
	return []resolverClient{
		{
			name:     "glibc",
			needs:    []string{"gcc"},
			build:    "gcc -O2 -Wall -Werror -o lookup-glibc " + in("lookup.c"),
			output:   "lookup-glibc",
			program:  []string{"./lookup-glibc"},
			notFound: "EAI_NONAME",
			tryAgain: "EAI_AGAIN",
		},
		{
			name:     "musl",
			needs:    []string{"gcc", "musl-gcc"},
			build:    "musl-gcc -static -O2 -Wall -Werror -o lookup-musl " + in("lookup.c"),
			output:   "lookup-musl",
			program:  []string{"./lookup-musl"},
			notFound: "EAI_NONAME",
			tryAgain: "EAI_AGAIN",
		},
		{
			name:     "Go",
			program:  []string{self},
			env:      []string{role.Variable + "=lookup"},
			notFound: "IsNotFound=true IsTemporary=false IsTimeout=false",
			tryAgain: "IsNotFound=false IsTemporary=true IsTimeout=false",
		},
		{
			name:     "curl",
			needs:    []string{"curl"},
			tool:     &curlLookup,
			page:     []string{"curl", "-sS"},
			notFound: "Could not resolve host",
		},
		{
			name:     "Python",
			needs:    []string{"python3"},
			program:  []string{"python3", in("lookup.py")},
			notFound: "EAI_NONAME",
		},
		{
			name:     "Node lookup",
			needs:    []string{"node"},
			program:  []string{"node", in("lookup.js"), "lookup"},
			notFound: "ENOTFOUND",
		},
		{
			name:     "Node resolve4", // c-ares
			needs:    []string{"node"},
			program:  []string{"node", in("lookup.js"), "resolve4"},
			notFound: "ENOTFOUND",
		},
		{
			name:     "JVM",
			needs:    []string{"java", "javac"},
			build:    javac,
			output:   "Lookup.class",
			program:  append(jvm[:len(jvm):len(jvm)], "Lookup"),
			notFound: "Name or service not known",
		},
		{
			name:     "JVM that prefers IPv6",
			needs:    []string{"java", "javac"},
			build:    javac,
			output:   "Lookup.class",
			program:  append(jvm[:len(jvm):len(jvm)], "-Djava.net.preferIPv6Addresses=true", "Lookup"),
			notFound: "Name or service not known",
		},
		{
			name:     "Perl getaddrinfo",
			needs:    []string{"perl", "prove"}, // prove has come with Time::HiRes
			program:  []string{"perl", in("lookup.pl"), "getaddrinfo"},
			notFound: "EAI_NONAME",
		},
		{
			name:     "Perl gethostbyname",
			needs:    []string{"perl", "prove"},
			program:  []string{"perl", in("lookup.pl"), "gethostbyname"},
			notFound: "HOST_NOT_FOUND",
		},
		{name: "dig", needs: []string{"dig"}, tool: &digLookup, notFound: "NXDOMAIN"},
		{name: "host", needs: []string{"host"}, tool: &hostLookup, notFound: "NXDOMAIN"},
		{name: "nslookup", needs: []string{"nslookup"}, tool: &nslookupLookup, notFound: "NXDOMAIN"},
		{name: "BusyBox nslookup", needs: []string{"busybox"}, tool: &busyboxLookup, notFound: "NXDOMAIN"},
	}
}

// named are the clients of these names.
func named(all []resolverClient, names ...string) []resolverClient {
	var some []resolverClient
	for _, c := range all {
		for _, name := range names {
			if c.name == name {
				some = append(some, c)
			}
		}
	}
	return some
}

// fetches reports whether it is more than a tool for lookups.
func (c *resolverClient) fetches() bool { return c.tool == nil || c.page != nil }

// prepare ends the test if this client cannot be had here, and builds it.
func (c *resolverClient) prepare(t *testing.T, w *world.World) {
	t.Helper()
	world.Needs(t, c.needs...)
	if _, err := os.Stat(filepath.Join(w.Dir, c.output)); c.output != "" && err != nil {
		w.MustRun(t, w.App, world.Command{}, strings.Fields(c.build)...)
	}
}

// see looks each name up, in this order, and fetches the pages of HOST:PORT.
func (c *resolverClient) see(t *testing.T, w *world.World, names ...string) []sighting {
	t.Helper()
	if c.program != nil {
		out := w.MustRun(t, w.App, world.Command{Env: c.env}, append(c.program[:len(c.program):len(c.program)], names...)...)
		return c.parse(t, out, len(names))
	}
	var seen []sighting
	for _, name := range names {
		switch {
		case !strings.Contains(name, ":"):
			seen = append(seen, c.tool.lookUp(t, w, name))
		case c.page != nil:
			body := w.MustRun(t, w.App, world.Command{}, append(c.page[:len(c.page):len(c.page)], "http://"+name+"/")...)
			seen = append(seen, sighting{of: name, saw: strings.TrimSpace(body)})
		}
	}
	return seen
}

// begin starts a lookup of names, by a client that is a program of testdata.
func (c *resolverClient) begin(t *testing.T, w *world.World, names ...string) *world.Process {
	t.Helper()
	return w.Start(t, w.App, c.name, c.env, append(c.program[:len(c.program):len(c.program)], names...)...)
}

// parse reads what a program of testdata has printed of n names.
func (c *resolverClient) parse(t *testing.T, out string, n int) []sighting {
	t.Helper()
	var seen []sighting
	for line := range strings.Lines(out) {
		of, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, saw, _ := strings.Cut(rest, " ")
		microseconds, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Fatalf("%s printed %q", c.name, line)
		}
		// The JVM puts the name before what it says of it.
		saw = strings.TrimPrefix(saw, of+": ")
		seen = append(seen, sighting{of: of, saw: saw, took: time.Duration(microseconds) * time.Microsecond})
	}
	if len(seen) != n {
		t.Fatalf("%s printed %d lines, not %d:\n%s", c.name, len(seen), n, out)
	}
	return seen
}
