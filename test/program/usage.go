package program

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/prometheus/procfs"
)

// tick is the unit of CPU times in /proc/PID/stat (USER_HZ, 100 on every
// architecture that Go knows).
const tick = 10 * time.Millisecond

// CPU is the processor time that the process has used so far, its own and the
// kernel's for it, in steps of 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	return ask(p, cpuTime)
}

// Resident is the process's memory that is in RAM (VmRSS), in bytes.
func (p *Process) Resident() (int64, error) {
	return ask(p, resident)
}

// Descriptors is the number of files and sockets that the process has open.
func (p *Process) Descriptors() (int, error) {
	return ask(p, procfs.Proc.FileDescriptorsLen)
}

// Established is the number of TCP connections over IPv4 to remote that are
// established in the process's network namespace, as the end here sees them.
func (p *Process) Established(remote netip.AddrPort) (int, error) {
	return ask(p, func(proc procfs.Proc) (int, error) {
		// The files under net of a process are those of its network namespace.
		fs, err := procfs.NewFS(procfs.DefaultMountPoint + "/" + strconv.Itoa(proc.PID))
		if err != nil {
			return 0, err
		}
		//lint:ignore SA1019 netlink, named in its place, would answer for our own namespace
		sockets, err := fs.NetTCP()
		if err != nil {
			return 0, err
		}
		const established = 1 // TCP_ESTABLISHED, include/net/tcp_states.h
		n := 0
		for _, s := range sockets {
			addr, _ := netip.AddrFromSlice(s.RemAddr)
			if s.St == established && netip.AddrPortFrom(addr, uint16(s.RemPort)) == remote {
				n++
			}
		}
		return n, nil
	})
}

// DatagramsSent is the number of UDP datagrams that were sent in the process's
// network namespace.
func (p *Process) DatagramsSent() (int, error) {
	return ask(p, func(proc procfs.Proc) (int, error) {
		snmp, err := proc.Snmp()
		if err != nil {
			return 0, err
		}
		if snmp.Udp.OutDatagrams == nil {
			return 0, errors.New("net/snmp counts no datagrams")
		}
		return int(*snmp.Udp.OutDatagrams), nil
	})
}

// ask reads a figure of the process in /proc. The error of a process that has ended
// holds the last of what it said.
func ask[T any](p *Process, read func(procfs.Proc) (T, error)) (T, error) {
	proc, err := procfs.NewProc(p.PID())
	var figure T
	if err == nil {
		figure, err = read(proc)
	}
	if err != nil {
		return figure, fmt.Errorf("program: %s: %w\n%s", p.Name(), err, p.Stderr.Tail(4000))
	}
	return figure, nil
}

// cpuTime adds utime and stime, fields 14 and 15 of proc_pid_stat(5).
func cpuTime(proc procfs.Proc) (time.Duration, error) {
	stat, err := proc.Stat()
	return time.Duration(stat.UTime+stat.STime) * tick, err
}

// resident is VmRSS of proc_pid_status(5), in bytes. A process that has ended and a
// thread of the kernel have none.
func resident(proc procfs.Proc) (int64, error) {
	status, err := proc.NewStatus()
	if err == nil && status.VmRSS == 0 {
		err = errors.New("status has no VmRSS")
	}
	return int64(status.VmRSS), err
}
