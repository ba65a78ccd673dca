package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// table holds all rules. Its name tells an operator whose it is, and the sidecar
// what to replace.
var table = &nftables.Table{Family: nftables.TableFamilyINet, Name: "hyco_sidecar"}

// Install puts the plan's rules in the place of all that were there, at once. The
// error is a *[Fault].
func (p Plan) Install() error {
	err := p.install(true)
	if errors.Is(err, ErrUnsupported) {
		// Kernels can be built without time-outs of rules (NF_CONNTRACK_TIMEOUT).
		return p.install(false)
	}
	return err
}

// install is Install, with patience or without: see [family.patience].
func (p Plan) install(patient bool) error {
	c, err := nftables.New()
	if err != nil {
		return asFault(err)
	}
	replace(c)
	c.AddTable(table)
	chain := c.AddChain(&nftables.Chain{
		Table: table, Name: "output", Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest,
	})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exempted})
	for _, f := range []family{ipv4, ipv6} {
		var lanes []Lane
		for _, l := range append(slices.Clone(p.Lanes), p.Canary) {
			if l.From.Addr().Is6() == (f.proto == unix.NFPROTO_IPV6) {
				lanes = append(lanes, l)
			}
		}
		if err := f.install(c, chain, lanes, patient); err != nil {
			return asFault(err)
		}
	}
	return asFault(c.Flush())
}

// Remove takes the rules away, whoever installed them; none is no error. The error
// is a *[Fault].
func Remove() error {
	c, err := nftables.New()
	if err != nil {
		return asFault(err)
	}
	replace(c)
	return asFault(c.Flush())
}

// Release has the rules capture nothing more, and leaves them for the connections that
// they have captured: with the last rule of its kind the kernel forgets at once where
// those lead. The error is a *[Fault].
func Release() error {
	c, err := nftables.New()
	if err != nil {
		return asFault(err)
	}
	maps, err := c.GetSets(table)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return asFault(err)
	}
	for _, m := range maps {
		c.FlushSet(m)
	}
	return asFault(c.Flush())
}

// replace removes the table, which has to be there for that.
func replace(c *nftables.Conn) {
	c.AddTable(table)
	c.DelTable(table)
}

// exempted ends the rules for connections of the sidecar's own.
var exempted = []expr.Any{
	&expr.Meta{Key: expr.MetaKeyPRIORITY, Register: unix.NFT_REG_1},
	&expr.Cmp{Register: unix.NFT_REG_1, Data: binaryutil.NativeEndian.PutUint32(ownPriority)},
	&expr.Verdict{Kind: expr.VerdictReturn},
}

// family is what differs between IPv4 and IPv6.
type family struct {
	name       string
	proto      byte // of netfilter
	addr       nftables.SetDatatype
	at, length uint32 // of the destination in the header
	port       uint32 // the register behind the address, both where it is looked up and where it is found
}

var (
	ipv4 = family{"ipv4", unix.NFPROTO_IPV4, nftables.TypeIPAddr, 16, 4, unix.NFT_REG32_01}
	ipv6 = family{"ipv6", unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 24, 16, unix.NFT_REG32_04}
)

// atOnce bounds the elements of one message, whose length has 16 bits.
const atOnce = 500

// day is longer than a connection may linger (HYCO_LINGER).
const day = 24 * 60 * 60

// patience is how long, in seconds, the kernel remembers where a silent connection
// leads. By itself it forgets one of which a side has ended after a minute, and what
// the other side then sends would be nobody's.
func (f family) patience() *nftables.NamedObj {
	return &nftables.NamedObj{Table: table, Name: "patient_" + f.name, Type: nftables.ObjTypeCtTimeout, Obj: &expr.CtTimeout{
		L3Proto: uint16(f.proto), L4Proto: unix.IPPROTO_TCP,
		Policy: expr.CtStatePolicyTimeout{
			expr.CtStateTCPESTABLISHED: 5 * day, // the kernel's own
			expr.CtStateTCPFINWAIT:     day,
			expr.CtStateTCPCLOSEWAIT:   day,
			expr.CtStateTCPLASTACK:     day,
			expr.CtStateTCPRETRANS:     day, // with an app that does not read, too
			expr.CtStateTCPUNACK:       day,
		},
	}}
}

// install adds a map of the lanes and the rule that goes by it.
func (f family) install(c *nftables.Conn, chain *nftables.Chain, lanes []Lane, patient bool) error {
	if len(lanes) == 0 {
		return nil
	}
	place := nftables.MustConcatSetType(f.addr, nftables.TypeInetService)
	set := &nftables.Set{Table: table, Name: f.name, IsMap: true, Concatenation: true, KeyType: place, DataType: place}
	if err := c.AddSet(set, nil); err != nil {
		return err
	}
	for some := range slices.Chunk(lanes, atOnce) {
		var elements []nftables.SetElement
		for _, l := range some {
			elements = append(elements, nftables.SetElement{Key: wire(l.From), Val: wire(l.To)})
		}
		if err := c.SetAddElements(set, elements); err != nil {
			return err
		}
	}
	rule := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Register: unix.NFT_REG_1, Data: []byte{f.proto}},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Register: unix.NFT_REG_1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: f.at, Len: f.length, DestRegister: unix.NFT_REG_1},
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: f.port},
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, IsDestRegSet: true, SetName: set.Name, SetID: set.ID},
	}
	if patient {
		patience := f.patience()
		c.AddObj(patience)
		rule = append(rule, &expr.Objref{Type: int(patience.Type), Name: patience.Name})
	}
	rule = append(rule, &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f.proto), RegAddrMin: unix.NFT_REG_1, RegProtoMin: f.port})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule})
	return nil
}

// wire is a as keys and values have it: each part fills whole registers of 32 bits.
func wire(a netip.AddrPort) []byte {
	return append(binary.BigEndian.AppendUint16(a.Addr().AsSlice(), a.Port()), 0, 0)
}

// asFault turns an error of the kernel's into a Fault.
func asFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return ErrNotPermitted
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.EAFNOSUPPORT):
		return ErrUnsupported.withCause(err)
	}
	return failure(fmt.Errorf("nftables: %w", err))
}
