package admin

import "time"

// TokenStats is how tokens of Entra ID for one audience come.
type TokenStats struct {
	Audience string
	Expires  time.Time // of the token that is presented; zero: there never was one
	Obtained int64     // tokens so far
	Failed   int64     // requests that brought none
}

func (t TokenStats) collect(s sink) {
	s.put(tokenRequests, float64(t.Obtained), t.Audience, "ok")
	s.put(tokenRequests, float64(t.Failed), t.Audience, "failed")
	if !t.Expires.IsZero() {
		s.put(tokenExpiry, unix(t.Expires), t.Audience)
	}
}
