package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"hyco-sidecar/test/fakerelay"
)

const (
	stateFile    = "state.json"
	stateVersion = 1

	// A client trusts the authority of a state for as long as the state lives; a
	// server's certificate is made again when little is left of it.
	authorityLifetime   = 10 * 365 * 24 * time.Hour
	certificateLifetime = 365 * 24 * time.Hour
	certificateLeft     = 30 * 24 * time.Hour
)

// state is what -state keeps over a restart, so that listeners and senders come
// back without being configured anew.
type state struct {
	Version   int                  `json:"version"`
	Authority *identity            `json:"authority"`
	Server    *identity            `json:"server"`
	Keys      map[string]string    `json:"keys"`    // of rules, by name, or name@entity
	Created   map[string]time.Time `json:"created"` // of entities

	authority *fakerelay.Authority
}

// identity is a certificate and its key, in PEM.
type identity struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// identify completes keys and certificate, and keeps them if that is wanted.
func (s *settings) identify() error {
	s.keep()
	var err error
	if s.certificate, s.caPEM, err = s.state.certificate(s.hosts); err != nil || s.stateDir == "" {
		return err
	}
	if err := s.state.save(s.stateDir); err != nil {
		return fmt.Errorf("-state %s: %w", s.stateDir, err)
	}
	return nil
}

// keep completes the keys from the state, and the state by what it is to keep.
func (s *settings) keep() {
	if s.sendKeys == "" {
		s.sendKey = s.state.key(senderRule, s.sendKey)
	}
	s.listenKey = s.state.key(listenerRule, s.listenKey)
	for i := range s.rules {
		s.rules[i].Key = s.state.key(s.rules[i].name(), s.rules[i].Key)
	}
	for i := range s.entities {
		s.entities[i].created = s.state.createdAt(s.entities[i].path, time.Now().Add(s.clockOffset))
	}
}

// loadState reads the state in dir, which may be empty or missing. Without a name it
// is a state that is not kept.
func loadState(dir string) (*state, error) {
	anew := &state{Version: stateVersion, Keys: map[string]string{}, Created: map[string]time.Time{}}
	if dir == "" {
		return anew, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return anew, nil
	}
	if err != nil {
		return nil, withoutPath(err)
	}
	damaged := func(why error) (*state, error) {
		return nil, fmt.Errorf("%s is half-written or damaged (%w); remove it to begin anew", stateFile, why)
	}
	var version struct{ Version int }
	if err := json.Unmarshal(text, &version); err != nil {
		return damaged(err)
	}
	switch version.Version {
	case stateVersion:
	case 0:
		return damaged(errors.New("the version is missing"))
	default:
		return nil, fmt.Errorf("%s is of version %d, and this hyco-devrelay reads version %d; remove it to begin anew", stateFile, version.Version, stateVersion)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return damaged(err)
	}
	if s.Authority == nil || s.Server == nil || s.Keys == nil || s.Created == nil {
		return damaged(errors.New("a part is missing"))
	}
	if s.authority, err = fakerelay.ParseAuthority([]byte(s.Authority.Certificate), []byte(s.Authority.Key)); err != nil {
		return damaged(fmt.Errorf("authority: %w", err))
	}
	if time.Now().After(s.authority.NotAfter()) {
		return nil, fmt.Errorf("the certificate authority in %s ended on %s; remove it to begin anew", stateFile, s.authority.NotAfter().Format(time.DateOnly))
	}
	return &s, nil
}

// key is the rule's: the given one, else the one kept, else a new one. It is kept
// from now on.
func (s *state) key(rule, given string) string {
	if given == "" {
		given = s.Keys[rule]
	}
	if given == "" {
		given = randomKey()
	}
	s.Keys[rule] = given
	return given
}

// createdAt is when the entity was first named.
func (s *state) createdAt(entity string, now time.Time) time.Time {
	if at, ok := s.Created[entity]; ok {
		return at
	}
	s.Created[entity] = now.UTC().Truncate(time.Second)
	return s.Created[entity]
}

// certificate is the server's, for hosts, and the authority's that it is of.
func (s *state) certificate(hosts []string) (tls.Certificate, []byte, error) {
	if s.authority == nil {
		var err error
		if s.authority, err = fakerelay.NewAuthority(authorityLifetime); err != nil {
			return tls.Certificate{}, nil, err
		}
		key, err := s.authority.KeyPEM()
		if err != nil {
			return tls.Certificate{}, nil, err
		}
		s.Authority = &identity{string(s.authority.CertificatePEM()), string(key)}
	}
	if cert, ok := s.kept(hosts); ok {
		return cert, s.authority.CertificatePEM(), nil
	}
	cert, err := s.authority.Issue(certificateLifetime, hosts...)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	certPEM, keyPEM, err := fakerelay.CertificatePEM(cert)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	s.Server = &identity{string(certPEM), string(keyPEM)}
	return cert, s.authority.CertificatePEM(), nil
}

// kept is the certificate kept, if it will do.
func (s *state) kept(hosts []string) (tls.Certificate, bool) {
	if s.Server == nil {
		return tls.Certificate{}, false
	}
	cert, err := tls.X509KeyPair([]byte(s.Server.Certificate), []byte(s.Server.Key))
	if err != nil {
		return tls.Certificate{}, false
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.authority.CertificatePEM())
	for _, host := range hosts {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: time.Now().Add(certificateLeft)}); err != nil {
			return tls.Certificate{}, false
		}
	}
	return cert, true
}

// save replaces the state in dir in one step: whoever is killed on the way leaves
// the old one.
func (s *state) save(dir string) error {
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("not writable: %w", withoutPath(err))
	}
	f, err := os.CreateTemp(dir, stateFile+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("not writable: %w", withoutPath(err))
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, stateFile))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return withoutPath(err)
}

// withoutPath is the reason alone: the message names the folder already.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
