package config

import "slices"

// Discovered returns c with the endpoints that its hybrid connections' metadata
// name, host:port, in the order of those connections that are to be discovered.
// They are held to the rules of those that are written down, and get their
// addresses; the error reports every fault as Load's does. C stays as it is.
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
		for _, f := range Faults(err) { // about text that is the hybrid connection's, not the setting's
			f.Problem, f.Remedy = "auto: in the hybrid connection's metadata, "+f.Problem, "correct the metadata, or write host:port instead of auto"
		}
		return Config{}, err
	}
	l.noDuplicates(c.Connections)
	l.notARelay(c.Connections)
	l.place(c.Connections, c.standIns)
	return c, l.faults.ErrorOrNil()
}
