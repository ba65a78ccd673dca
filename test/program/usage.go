package program

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc/PID/stat (USER_HZ, 100 on every
// architecture that Go knows).
const tick = 10 * time.Millisecond

// CPU is the processor time that the process has used so far, its own and the
// kernel's for it, in steps of 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	text, err := p.read("stat")
	if err != nil {
		return 0, err
	}
	cpu, err := parseCPU(text)
	if err != nil {
		return 0, fmt.Errorf("program: %s: %w", p.Name(), err)
	}
	return cpu, nil
}

// Resident is the process's memory that is in RAM (VmRSS), in bytes.
func (p *Process) Resident() (int64, error) {
	text, err := p.read("status")
	if err != nil {
		return 0, err
	}
	resident, err := parseResident(text)
	if err != nil {
		return 0, fmt.Errorf("program: %s: %w", p.Name(), err)
	}
	return resident, nil
}

// Descriptors is the number of files and sockets that the process has open.
func (p *Process) Descriptors() (int, error) {
	dir, err := os.Open(p.proc("fd"))
	if err != nil {
		return 0, p.gone(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, p.gone(err)
	}
	return len(names), nil
}

func (p *Process) proc(file string) string { return fmt.Sprintf("/proc/%d/%s", p.PID(), file) }

func (p *Process) read(file string) ([]byte, error) {
	text, err := os.ReadFile(p.proc(file))
	if err != nil {
		return nil, p.gone(err)
	}
	return text, nil
}

func (p *Process) gone(err error) error {
	return fmt.Errorf("program: %s: %w\n%s", p.Name(), err, p.Stderr.Tail(4000))
}

// parseCPU adds utime and stime, fields 14 and 15 of proc_pid_stat(5). The
// second field, the program's name, may hold blanks and parentheses.
func parseCPU(stat []byte) (time.Duration, error) {
	const (
		first        = 3 // the field after the name
		utime, stime = 14 - first, 15 - first
	)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= stime {
		return 0, fmt.Errorf("stat has no CPU times: %q", stat)
	}
	var ticks int64
	for _, field := range []string{fields[utime], fields[stime]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// parseResident finds VmRSS, which is in kB.
func parseResident(status []byte) (int64, error) {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("status has no VmRSS")
}
