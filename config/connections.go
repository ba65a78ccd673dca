package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// loopback is the range of possible stand-in addresses: Linux lets a process bind
// each of them without setup.
var loopback = netip.MustParsePrefix("127.0.0.0/8")

func (l *loader) loopbackRange(name, value string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(value)
	if err != nil || !p.Addr().Is4() || !loopback.Overlaps(p) || p.Bits() < loopback.Bits() {
		l.faults.add(name, "write a part of 127.0.0.0/8, for example 127.77.0.0/16", "%s is not a loopback range", show(value))
		return p, false
	}
	return p, true
}

// connections reads the indexed and the compact form and gives every host its
// address.
func (l *loader) connections() ([]Connection, standIns) {
	all, fixed := l.readIndexed()
	all = append(all, l.readCompact()...)
	if len(all) == 0 && l.faults.ErrorOrNil() == nil {
		l.faults.add("HYCO_CONNECTION_0_ENDPOINT", "set it and HYCO_CONNECTION_0_CONNECTION_STRING, or HYCO_ENDPOINTS and HYCO_CONNECTION_STRING",
			"no endpoint is configured")
	}
	l.refuseDuplicates(all)
	l.refuseRelays(all)
	within, ok := l.loopbackRange("HYCO_LOOPBACK_RANGE", l.set.LoopbackRange)
	if !ok {
		return nil, standIns{}
	}
	s := standIns{within, fixed}
	l.place(all, s)
	return all, s
}

// standIns is what the choice of stand-in addresses depends on, besides the names.
type standIns struct {
	within netip.Prefix
	fixed  map[string]netip.Addr
}

// place gives every name among the endpoints its address.
func (l *loader) place(all []Connection, s standIns) {
	var names []string
	for _, c := range all {
		if !c.Literal && !c.Discover {
			names = append(names, c.Host)
		}
	}
	chosen, err := addresses(names, s.fixed, s.within)
	if err != nil {
		l.faults.add("HYCO_LOOPBACK_RANGE", "write a larger range, for example 127.77.0.0/16", "%v", err)
		return
	}
	for i := range all {
		if !all[i].Literal {
			all[i].Address = chosen[all[i].Host] // invalid where the host is yet to be discovered
		}
	}
}

// readIndexed reads the HYCO_CONNECTION_N_… groups. It returns their connections and
// the addresses that are set for hosts.
func (l *loader) readIndexed() ([]Connection, map[string]netip.Addr) {
	var all []Connection
	fixed := make(map[string]netip.Addr)
	owner := make(map[netip.Addr]string)
	for i, g := range l.set.Connections {
		name := func(field string) string { return fmt.Sprintf("HYCO_CONNECTION_%d_%s", l.env.indices[i], field) }
		c := Connection{Variable: name("ENDPOINT"), Source: name("CONNECTION_STRING")}
		complete := true
		if c.Discover = strings.EqualFold(g.Endpoint, "auto"); !c.Discover {
			complete = l.endpoint(&c, g.Endpoint)
		}
		switch {
		case g.ConnectionString == "":
			if !l.env.faulty[name("CONNECTION_STRING")] {
				l.faults.add(name("CONNECTION_STRING"), portalShape, "it is missing")
			}
			complete = false
		default:
			cs, ok := l.connectionString(name("CONNECTION_STRING"), g.ConnectionString)
			if ok && cs.entity == "" {
				l.faults.add(name("CONNECTION_STRING"), "copy the string of the hybrid connection, or add ;EntityPath=NAME", "EntityPath is missing")
				ok = false
			}
			c.Namespace, c.Entity, c.Credential = cs.namespace, cs.entity, cs.credential()
			complete = ok && complete
		}
		if g.Secondary != "" {
			c.Secondary = l.secondary(name("SECONDARY_CONNECTION_STRING"), g.Secondary, name("CONNECTION_STRING"), c)
		}
		l.listener(&c, name("LISTENER"), g.Listener, name("PORT_NAME"), g.PortName)
		switch {
		case g.Address == "":
		case c.Discover:
			l.faults.add(name("ADDRESS"), "write host:port in "+name("ENDPOINT")+", or remove the address",
				"the host is not known before discovery (%s=auto)", name("ENDPOINT"))
		case c.Literal:
			l.faults.add(name("ADDRESS"), "remove it", "%s is an IP address, which needs no stand-in address", name("ENDPOINT"))
		case c.Host != "":
			l.fixAddress(name("ADDRESS"), g.Address, c.Host, fixed, owner)
		}
		if complete {
			all = append(all, c)
		}
	}
	return all, fixed
}

// fixAddress records that host has the address in value. Owner has the host of each
// address in fixed.
func (l *loader) fixAddress(name, value, host string, fixed map[string]netip.Addr, owner map[netip.Addr]string) {
	addr, err := netip.ParseAddr(value)
	switch {
	case err != nil:
		l.faults.add(name, "write for example 127.77.0.10", "%s is not an address", show(value))
	case !loopback.Contains(addr):
		l.faults.add(name, "write an address from 127.0.0.0/8: others cannot be bound and would be reachable from outside",
			"%s is not an IPv4 loopback address", addr)
	case addr == netip.AddrFrom4([4]byte{127, 255, 255, 255}):
		l.faults.add(name, "write for example 127.77.0.10", "%s is a broadcast address", addr)
	case owner[addr] != "" && owner[addr] != host:
		l.faults.add(name, "give each host an address of its own", "%s is already the address of %s", addr, owner[addr])
	case fixed[host].IsValid() && fixed[host] != addr:
		l.faults.add(name, "set it once per host", "%s already has the address %s", host, fixed[host])
	default:
		fixed[host], owner[addr] = addr, host
	}
}

// readCompact reads HYCO_ENDPOINTS, whose endpoints share one connection string.
func (l *loader) readCompact() []Connection {
	const variable = "HYCO_ENDPOINTS"
	switch {
	case l.set.Endpoints == "" && l.set.ConnectionString == "" && l.set.Secondary == "":
		return nil
	case strings.Trim(l.set.Endpoints, separators) == "" && l.set.Endpoints != "":
		l.faults.add(variable, "write host:port=NAME, or remove it", "%s has no entry", show(l.set.Endpoints))
		return nil
	case l.set.Endpoints == "":
		used := "HYCO_CONNECTION_STRING"
		if l.set.ConnectionString == "" {
			used = "HYCO_SECONDARY_CONNECTION_STRING"
		}
		l.faults.add(variable, "set it, for example sql01.corp.example:1433=sql01-hc", "it is missing, so %s is not used", used)
		return nil
	}
	var cs connectionString
	usable := false
	switch {
	case l.set.ConnectionString != "":
		cs, usable = l.connectionString("HYCO_CONNECTION_STRING", l.set.ConnectionString)
	case !l.env.faulty["HYCO_CONNECTION_STRING"]:
		l.faults.add("HYCO_CONNECTION_STRING", portalShape, "it is missing for HYCO_ENDPOINTS")
	}
	// What the connection string says of every endpoint.
	common := Connection{
		Variable: variable, Source: "HYCO_CONNECTION_STRING",
		Namespace: cs.namespace, Entity: cs.entity, Credential: cs.credential(), Listener: HCM,
	}
	if l.set.Secondary != "" && usable {
		common.Secondary = l.secondary("HYCO_SECONDARY_CONNECTION_STRING", l.set.Secondary, "HYCO_CONNECTION_STRING", common)
	}
	var all []Connection
	unnamed := 0
	for item := range list(l.set.Endpoints) {
		endpoint, entity, named := strings.Cut(item, "=")
		c := common
		complete := l.endpoint(&c, endpoint)
		switch name, problem := entityPath(entity); {
		case !usable:
			complete = false
		case named && (problem != "" || name == ""):
			l.faults.add(variable, "write host:port=NAME", "%s does not name a hybrid connection", show(item))
			complete = false
		case named && cs.entity != "" && name != cs.entity:
			l.faults.add(variable, "use the namespace's connection string, or HYCO_CONNECTION_N_… for each",
				"%s is not the hybrid connection that HYCO_CONNECTION_STRING is for (EntityPath=%s)", show(name), cs.entity)
			complete = false
		case !named && cs.entity == "":
			l.faults.add(variable, "write host:port=NAME", "%s names no hybrid connection, and HYCO_CONNECTION_STRING has no EntityPath", show(item))
			complete = false
		case !named:
			if unnamed++; unnamed == 2 {
				l.faults.add(variable, "write host:port=NAME for each", "two endpoints name no hybrid connection, but EntityPath names only one")
			}
			entity = cs.entity
		}
		c.Entity = entity
		if complete {
			all = append(all, c)
		}
	}
	return all
}
