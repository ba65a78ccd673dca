package admin

// endpoints are those of the plan in force. They are replaced as a whole, and read
// without a lock.
type endpoints struct {
	shown  []*endpoint // in the order of the settings
	byName map[string]*endpoint
}

// Apply makes all the Monitor's endpoints, in this order, with what is known of each
// before its first connection. One that was there before, by its name, keeps its
// counts. One that is gone is not shown any more; connections that are still open are
// counted to their end. It must not be called twice at the same time.
func (m *Monitor) Apply(all []Endpoint) {
	before := m.endpoints.Load()
	if before == nil {
		before = new(endpoints)
	}
	next := &endpoints{byName: make(map[string]*endpoint, len(all))}
	for _, about := range all {
		e := before.byName[about.Name]
		if e == nil {
			e = newEndpoint()
		}
		e.describe(about)
		next.shown = append(next.shown, e)
		next.byName[about.Name] = e
	}
	for name, e := range before.byName {
		if next.byName[name] == nil && e.open.Load() > 0 {
			next.byName[name] = e
		}
	}
	m.endpoints.Store(next)
}

// describe notes what the settings say.
func (e *endpoint) describe(about Endpoint) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.about = about
}

// endpoint is the one of that name. For one that is gone it is a new one, which nobody
// sees.
func (m *Monitor) endpoint(name string) *endpoint {
	if e := m.endpoints.Load().byName[name]; e != nil {
		return e
	}
	return newEndpoint()
}
