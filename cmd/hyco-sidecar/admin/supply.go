package admin

import "time"

// Supply is how tokens of Entra ID for one audience come.
type Supply struct {
	Audience string
	Expires  time.Time // of the token that is presented; zero: there never was one
	Obtained int64     // tokens so far
	Failed   int64     // requests that brought none
}

func (p Supply) collect(s sink) {
	s.put(tokenRequests, float64(p.Obtained), p.Audience, "ok")
	s.put(tokenRequests, float64(p.Failed), p.Audience, "failed")
	if !p.Expires.IsZero() {
		s.put(tokenExpiry, unix(p.Expires), p.Audience)
	}
}
