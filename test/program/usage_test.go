package program

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// self is the test's own process.
func self(t *testing.T) *Process {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc as Linux has it")
	}
	process, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return &Process{cmd: &exec.Cmd{Path: os.Args[0], Process: process}}
}

func TestCPUOfItself(t *testing.T) {
	p := self(t)
	began := time.Now()
	before, err := p.CPU()
	if err != nil {
		t.Fatal(err)
	}
	after := before
	for after < before+5*tick {
		if after, err = p.CPU(); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("CPU time has gone from %v to %v in a minute of work", before, after)
		}
	}
}

func TestResidentOfItself(t *testing.T) {
	p := self(t)
	before, err := p.Resident()
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	block := make([]byte, size)
	for i := range block {
		block[i] = 1
	}
	after, err := p.Resident()
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; before < 1<<20 || grown < size/2 || grown > 4*size {
		t.Errorf("resident memory went from %d to %d bytes with %d more in use", before, after, len(block))
	}
}

func TestDescriptorsOfItself(t *testing.T) {
	p := self(t)
	before, err := p.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if after, err := p.Descriptors(); err != nil || after != before+3 {
		t.Errorf("%d descriptors, then three more, then %d (%v)", before, after, err)
	}
}

func TestParseCPU(t *testing.T) {
	for _, c := range []struct {
		stat string
		want time.Duration // negative: an error
	}{
		{"7 (sh) S 1 7 7 0 -1 4194304 100 0 0 0 12 34 5 6 20 0 1 0", 460 * time.Millisecond},
		{"7 (a) b (c) 1 S) R 1 7 7 0 -1 4194304 100 0 0 0 250 0 5 6 20 0 1 0", 2500 * time.Millisecond},
		{"7 (sh) S 1 7 7 0 -1 4194304 100 0 0 0 x 34 5", -1},
		{"7 (sh) S 1 7", -1},
		{"", -1},
	} {
		got, err := parseCPU([]byte(c.stat))
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("%q: %v, %v, want %v", c.stat, got, err, c.want)
		}
	}
}

func TestParseResident(t *testing.T) {
	got, err := parseResident([]byte("Name:\tx\nVmHWM:\t  999 kB\nVmRSS:\t   12345 kB\nThreads:\t8\n"))
	if err != nil || got != 12345<<10 {
		t.Errorf("%d, %v, want %d", got, err, 12345<<10)
	}
	if _, err := parseResident([]byte("Name:\tkthreadd\n")); err == nil {
		t.Error("no error without VmRSS")
	}
}
