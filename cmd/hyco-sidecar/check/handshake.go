package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// shakeHands performs a TLS handshake with the target, by the name that the app
// uses. What certificate the target has is looked at afterwards: one that is not
// trusted still comes from a target that is reached.
func (w *walk) shakeHands(ctx context.Context, s *stream) answer {
	s.got = len(s.rest) > 0 // PostgreSQL's consent does not count
	ctx, cancel := context.WithTimeout(ctx, w.answerWait())
	defer cancel()
	conn := tls.Client(s, &tls.Config{
		ServerName:         w.e.Host,
		MinVersion:         tls.VersionTLS10, // of servers that are old, and reached
		InsecureSkipVerify: true,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		switch {
		case ctx.Err() != nil && s.got:
			return w.noHandshake(stalled, "it began to answer the TLS handshake, then stalled")
		case ctx.Err() != nil:
			return w.noHandshake(silence, "no answer to the TLS handshake")
		case s.got:
			return answer{saw: "answers, though not as TLS does: " + plain(err), err: errors.New(plain(err))}
		}
		return w.noHandshake(ended, "closed at the TLS handshake, without a byte")
	}
	state := conn.ConnectionState()
	leaf := state.PeerCertificates[0]
	a := answer{saw: fmt.Sprintf("%s, certificate for %s, until %s", tls.VersionName(state.Version), subject(leaf), leaf.NotAfter.UTC().Format(time.DateOnly))}
	if err := w.verify(state); err != nil {
		a.err = errors.New("this machine does not trust the certificate: " + plain(err))
		if !w.TLS { // else that is the failure
			a.notes = append(a.notes, a.err.Error())
		}
	}
	if state.Version < tls.VersionTLS12 {
		a.notes = append(a.notes, "many clients refuse a version as old as "+tls.VersionName(state.Version))
	}
	return a
}

// noHandshake is a failure where TLS was demanded, else what else came of it.
func (w *walk) noHandshake(came event, why string) answer {
	a := answer{came: came}
	if w.TLS {
		a.err = errors.New(why)
	}
	if w.TLS && came != stalled {
		a.notes = []string{"or the Hybrid Connection Manager does not reach " + w.e.Name + ": nothing has come from there"}
	}
	return a
}

func (w *walk) verify(state tls.ConnectionState) error {
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: w.e.Host, Roots: w.RootCAs, Intermediates: intermediates})
	return err
}

// subject is the first name of a certificate, and how many more there are.
func subject(c *x509.Certificate) string {
	switch n := len(c.DNSNames); n {
	case 0:
		return fmt.Sprintf("%q", c.Subject.CommonName)
	case 1:
		return c.DNSNames[0]
	default:
		return fmt.Sprintf("%s and %d more", c.DNSNames[0], n-1)
	}
}

// plain takes the library's prefix off.
func plain(err error) string {
	text := err.Error()
	for _, prefix := range []string{"tls: ", "x509: "} {
		if len(text) > len(prefix) && text[:len(prefix)] == prefix {
			return text[len(prefix):]
		}
	}
	return text
}
