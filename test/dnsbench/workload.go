package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// workload is a mixture of questions; the shares add up to 100.
type workload struct {
	name, title       string
	own, hits, misses int     // per cent
	atLeast           float64 // queries per CPU-second, to dnsmasq's; 0 asks for nothing
}

var workloads = []workload{
	{name: "own", title: "own names", own: 100, atLeast: 1},
	{name: "hits", title: "cache hits", hits: 100, atLeast: 1},
	{name: "misses", title: "cache misses", misses: 100, atLeast: 1.2},
	{name: "mixed", title: "mixed", own: 60, hits: 30, misses: 10},
}

// All names are below a domain in which no resolver sees anything special:
// unbound answers those that RFC 6761 sets apart by itself.
const (
	ownCount = 50
	hitCount = 2000 // fewer than any of the caches holds beside misses
)

// names are what is asked.
type names struct {
	own, hits []string
	missed    uint64 // names of misses that were handed out
}

func newNames() *names {
	n := &names{}
	for i := range ownCount {
		n.own = append(n.own, fmt.Sprintf("db%02d.corp.contoso.net", i))
	}
	for i := range hitCount {
		n.hits = append(n.hits, fmt.Sprintf("www%04d.contoso.net", i))
	}
	return n
}

// miss is a name that has not been handed out before, as random as the names
// that floods are made of.
func (n *names) miss() string {
	n.missed++
	// Odd factors permute the residues of a power of two, so none comes twice.
	const factor, bits = 0x9E3779B97F4A7C15, 48
	return strconv.FormatUint(n.missed*factor&(1<<bits-1), 36) + ".contoso.net"
}

// write writes the given number of questions of w, a line each as dnsperf takes
// them.
func (n *names) write(to io.Writer, w workload, lines int) error {
	out := bufio.NewWriter(to)
	random := rand.New(rand.NewPCG(n.missed, 1))
	for range lines {
		var name string
		switch p := random.IntN(100); {
		case p < w.own:
			name = n.own[random.IntN(len(n.own))]
		case p < w.own+w.hits:
			name = n.hits[random.IntN(len(n.hits))]
		default:
			name = n.miss()
		}
		out.WriteString(name)
		out.WriteString(" A\n")
	}
	return out.Flush() // which fails if one of those did
}
