package admin

import "time"

// Credential is one of those that an endpoint presents, by name.
type Credential struct {
	Name    string
	Expires time.Time // zero: never, or not known
}

// ranks name an endpoint's credentials in metrics, in their order.
var ranks = []string{"first", "secondary"}

// presented keeps an endpoint's credentials. endpoint.mu guards it.
type presented struct {
	all     []Credential
	using   int
	refused [2]int64
}

// String is the credential in use.
func (p *presented) String() string {
	if p.using >= len(p.all) {
		return "none"
	}
	name := p.all[p.using].Name
	if expires := p.all[p.using].Expires; !expires.IsZero() {
		name += " until " + expires.UTC().Format(time.RFC3339)
	}
	if p.using > 0 {
		name += " (secondary)"
	}
	return name
}

// Credentials notes what an endpoint presents from now on, the preferred one
// first, and which of them is in use.
func (m *Monitor) Credentials(endpoint string, all []Credential, using int) {
	e := m.endpoint(endpoint)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.credentials.all, e.credentials.using = all, using
}

// CredentialInUse notes that another one is in use.
func (m *Monitor) CredentialInUse(endpoint string, credential int) {
	e := m.endpoint(endpoint)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.credentials.using = credential
}

// CredentialRefused counts a refusal, which the app need not have noticed.
func (m *Monitor) CredentialRefused(endpoint string, credential int) {
	e := m.endpoint(endpoint)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.credentials.refused[credential]++
}

// Reloaded counts a secret that has changed, and whether it is used.
func (m *Monitor) Reloaded(used bool) {
	if used {
		m.reloads.Add(1)
	} else {
		m.reloadsRejected.Add(1)
	}
}

// collectCredentialsLocked is part of collect.
func (e *endpoint) collectCredentialsLocked(s sink) {
	for i, c := range e.credentials.all {
		s.put(credentialRefused, float64(e.credentials.refused[i]), e.about.Name, ranks[i])
		s.put(credentialInUse, truth(i == e.credentials.using), e.about.Name, ranks[i])
		if !c.Expires.IsZero() {
			s.put(signatureExpiry, unix(c.Expires), e.about.Name, ranks[i])
		}
	}
}
