package config

import "slices"

// Discovered returns a copy of c in which each connection with Discover set has got
// its endpoint and address. Endpoints are what the hybrid connections' metadata say,
// host:port, one for each of these connections, in their order. The rules for
// endpoints in settings apply; the error reports every fault, as that of [Load] does.
func (c Config) Discovered(endpoints []string) (Config, error) {
	l := loader{capture: c.Capture}
	c.Connections = slices.Clone(c.Connections)
	next := 0
	for i := range c.Connections {
		found := &c.Connections[i]
		if !found.Discover {
			continue
		}
		if l.endpoint(found, endpoints[next]) {
			found.Discover, found.Found = false, true
		}
		next++
	}
	if err := l.faults.ErrorOrNil(); err != nil {
		for _, f := range Faults(err) { // which lie in the metadata, not in the setting
			f.Problem, f.Remedy = "auto: in the hybrid connection's metadata, "+f.Problem, "correct the metadata, or write host:port instead of auto"
		}
		return Config{}, err
	}
	l.refuseDuplicates(c.Connections)
	l.refuseRelays(c.Connections)
	l.place(c.Connections, c.standIns)
	return c, l.faults.ErrorOrNil()
}
