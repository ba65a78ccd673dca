package config

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// hostName matches names as DNS carries them; underscores occur in private zones.
// digitsEnd matches names whose last label has only digits, which some programs
// take for a short form of an address.
var (
	hostName  = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	digitsEnd = regexp.MustCompile(`(^|\.)[0-9]+$`)
)

// endpoint reads text, host:port, into c and reports whether it is valid.
func (l *loader) endpoint(c *Connection, text string) bool {
	const example = "write host:port as the app does, for example sql01.corp.example:1433"
	if text == "" {
		l.faults.add(c.Variable, example, "it is missing")
		return false
	}
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		l.faults.add(c.Variable, example, "%s is not host:port", show(text))
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	port, err := strconv.ParseUint(portText, 10, 16)
	switch {
	case host == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '\'' || r == ';' || r == '/' }):
		l.faults.add(c.Variable, example, "%s is not host:port", show(text))
		return false
	case err != nil || port == 0:
		l.faults.add(c.Variable, "write a port from 1 to 65535", "%s has no valid port", show(text))
		return false
	case isIP(host):
		return l.literal(c, netip.MustParseAddr(host), uint16(port))
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
		l.faults.add(c.Variable, "use another name of that machine", "%s always means the app's own machine", show(host))
		return false
	case host == "hyco-sidecar.internal":
		l.faults.add(c.Variable, "use the endpoint's own name", "%s is this program's own name", show(host))
		return false
	case len(host) > 253 || !hostName.MatchString(host) || digitsEnd.MatchString(host):
		l.faults.add(c.Variable, example, "%s is not a DNS name", show(host))
		return false
	}
	c.Host, c.Port = host, uint16(port)
	return true
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// literal reads an IP address into c and reports whether it is valid. Only capture
// reaches an app that looks no name up.
func (l *loader) literal(c *Connection, addr netip.Addr, port uint16) bool {
	addr = addr.Unmap()
	switch {
	case l.capture != Redirect:
		l.faults.add(c.Variable, "use a DNS name, on the other side as well, or set HYCO_CAPTURE=redirect",
			"%q is an IP address, and an app that connects to an IP address makes no DNS lookup", addr)
		return false
	case addr.Zone() != "" || !addr.IsGlobalUnicast():
		l.faults.add(c.Variable, "write the address as the app does, for example 10.1.2.3:1433", "%q is not the address of another machine", addr)
		return false
	}
	c.Host, c.Port, c.Address, c.Literal = addr.String(), port, addr, true
	return true
}

// refuseRelays reports endpoints whose name is that of a relay: the sidecar would
// answer its own lookups of the relay with a stand-in address. IP addresses are
// allowed, since nobody looks them up.
func (l *loader) refuseRelays(all []Connection) {
	relays := make(map[string]bool)
	for _, c := range all {
		host := c.Namespace
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		relays[host] = true
	}
	for _, c := range all {
		if relays[c.Host] && !c.Discover && !c.Literal {
			l.faults.add(c.Variable, "name the private host that the hybrid connection leads to", "%s is the relay itself", show(c.Host))
		}
	}
}

// refuseDuplicates reports endpoints that are listed twice.
func (l *loader) refuseDuplicates(all []Connection) {
	seen := make(map[string]string)
	for _, c := range all {
		if c.Discover {
			continue
		}
		endpoint := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
		if first, ok := seen[endpoint]; ok {
			where := "twice"
			if first != c.Variable {
				where = "in " + first + " already"
			}
			l.faults.add(c.Variable, "keep one of the two", "%s is listed %s", endpoint, where)
			continue
		}
		seen[endpoint] = c.Variable
	}
}
