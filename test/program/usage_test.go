package program

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/procfs"
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

// files is a process of the id 7 in a /proc that has just these files of it.
func files(t *testing.T, texts map[string]string) procfs.Proc {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "7"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, "7", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := procfs.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	proc, err := fs.Proc(7)
	if err != nil {
		t.Fatal(err)
	}
	return proc
}

func TestParseCPU(t *testing.T) {
	const rest = " 5 6 20 0 1 0 1234 9000000 800 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
	for _, c := range []struct {
		stat string
		want time.Duration // negative: an error
	}{
		{"7 (sh) S 1 7 7 0 -1 4194304 100 0 0 0 12 34" + rest, 460 * time.Millisecond},
		{"7 (a) b (c) 1 S) R 1 7 7 0 -1 4194304 100 0 0 0 250 0" + rest, 2500 * time.Millisecond},
		{"7 (sh) S 1 7 7 0 -1 4194304 100 0 0 0 x 34" + rest, -1},
		{"7 (sh) S 1 7", -1},
		{"", -1},
	} {
		got, err := cpuTime(files(t, map[string]string{"stat": c.stat}))
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("%q: %v, %v, want %v", c.stat, got, err, c.want)
		}
	}
}

func TestParseResident(t *testing.T) {
	got, err := resident(files(t, map[string]string{"status": "Name:\tx\nVmHWM:\t  999 kB\nVmRSS:\t   12345 kB\nThreads:\t8\n"}))
	if err != nil || got != 12345<<10 {
		t.Errorf("%d, %v, want %d", got, err, 12345<<10)
	}
	if _, err := resident(files(t, map[string]string{"status": "Name:\tkthreadd\n"})); err == nil {
		t.Error("no error without VmRSS")
	}
}

func TestEstablishedConnectionsOfItself(t *testing.T) {
	p := self(t)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	remote := ln.Addr().(*net.TCPAddr).AddrPort()
	for want := range 3 {
		if got, err := p.Established(remote); err != nil || got != want {
			t.Errorf("%d connections, %v, want %d", got, err, want)
		}
		conn, err := net.Dial("tcp4", remote.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
}

func TestDatagramsSentByItself(t *testing.T) {
	p := self(t)
	before, err := p.DatagramsSent()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp4", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("1")); err != nil {
		t.Fatal(err)
	}
	if after, err := p.DatagramsSent(); err != nil || after <= before {
		t.Errorf("%d datagrams, then one more, then %d (%v)", before, after, err)
	}
}
