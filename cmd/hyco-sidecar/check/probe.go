package check

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Probe is what the target is sent when it does not speak first.
type Probe string

// The probes.
const (
	Auto     Probe = "auto"     // by the port
	None     Probe = "none"     // do not wait for the target at all
	Banner   Probe = "banner"   // send nothing, the target speaks first
	HTTP     Probe = "http"     // HEAD /
	TLS      Probe = "tls"      // a handshake with the endpoint's name
	Postgres Probe = "postgres" // SSLRequest; with TLS asked for, the handshake as well
	MSSQL    Probe = "mssql"    // PRELOGIN of the Tabular Data Stream

	redis Probe = "redis" // PING; of auto alone, as is
	quiet Probe = "quiet" // nothing: its servers do not speak first, and what they understand is long
)

// Probes are all that can be asked for.
var Probes = []Probe{Auto, None, Banner, HTTP, TLS, Postgres, MSSQL}

// probe chooses by the port where nothing was chosen.
func (w *walk) probe() Probe {
	if w.Probe != "" && w.Probe != Auto {
		return w.Probe
	}
	switch port := w.e.Address.Port(); {
	case port == 5432:
		return Postgres
	case w.TLS:
		return TLS
	case slices.Contains([]uint16{443, 636, 8443}, port):
		return TLS
	case port == 1433:
		return MSSQL
	case slices.Contains([]uint16{21, 22, 25, 587, 3306}, port): // their servers speak first
		return Banner
	case port == 6379:
		return redis
	case port == 9092 || port == 27017: // Kafka, MongoDB
		return quiet
	}
	return HTTP
}

// sends names what is sent, in words.
func (p Probe) sends() string {
	switch p {
	case TLS:
		return "a TLS handshake"
	case Postgres:
		return "PostgreSQL's SSLRequest"
	case MSSQL:
		return "SQL Server's PRELOGIN"
	case redis:
		return "Redis's PING"
	}
	return "an HTTP request"
}

// answer is what came of asking.
type answer struct {
	saw   string // empty when nothing came
	came  event  // then: silence, or the end
	notes []string
	err   error // why TLS did not come about, or is not to be trusted
}

// ask sends what probe says and reads what comes.
func (w *walk) ask(ctx context.Context, s *stream, probe Probe) answer {
	if probe == TLS {
		return w.shakeHands(ctx, s)
	}
	// A write that fails shows in what is read.
	_, _ = s.Write(w.question(probe))
	if came := s.await(ctx, w.answerWait()); came != bytesCame {
		return answer{came: came}
	}
	saw := recognise(probe, s.rest)
	if probe != Postgres || !w.TLS {
		return answer{saw: saw}
	}
	if s.rest[0] != 'S' {
		return answer{saw: saw, err: errors.New(saw)}
	}
	s.rest = s.rest[1:]
	a := w.shakeHands(ctx, s)
	if a.saw == "" { // it is reached, for it has answered before
		a.notes = []string{saw}
	}
	return a
}

func (w *walk) question(probe Probe) []byte {
	switch probe {
	case Postgres:
		// SSLRequest, PostgreSQL 16 documentation §55.7.
		return []byte{0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f}
	case MSSQL:
		return prelogin
	case redis:
		return []byte("PING\r\n")
	}
	return fmt.Appendf(nil, "HEAD / HTTP/1.1\r\nHost: %s\r\nUser-Agent: hyco-sidecar\r\nAccept: */*\r\nConnection: close\r\n\r\n", w.hostHeader())
}

// prelogin is [MS-TDS] §2.2.6.5 in its packet, §2.2.3.1: a version of zero, and
// encryption if the server wants it.
var prelogin = []byte{
	0x12, 0x01, 0, 26, 0, 0, 1, 0, // PRELOGIN, end of message, length, process, packet, window
	0x00, 0, 11, 0, 6, // VERSION: 6 bytes at 11
	0x01, 0, 17, 0, 1, // ENCRYPTION: 1 byte at 17
	0xff,
	0, 0, 0, 0, 0, 0,
	0x00,
}

// recognise says in words what came. Anything at all means that the target can be
// reached.
func recognise(probe Probe, data []byte) string {
	switch probe {
	case HTTP:
		if strings.HasPrefix(string(data), "HTTP/") {
			return "answers " + quoteFirstLine(data)
		}
	case redis: // an error is an answer: -NOAUTH where there is a password
		if data[0] == '+' || data[0] == '-' {
			return "Redis answers " + quoteFirstLine(data)
		}
	case Postgres:
		switch data[0] {
		case 'S':
			return "PostgreSQL answers, and offers TLS"
		case 'N':
			return "PostgreSQL answers, without TLS"
		case 'E':
			return "PostgreSQL answers with an error: " + quoteFirstLine(data[1:])
		}
	case MSSQL:
		if version, ok := sqlServerVersion(data); ok {
			return "SQL Server " + version + " answers"
		}
	}
	return "answers, though not to " + probe.sends() + ": " + quoteFirstLine(data)
}

// sqlServerVersion reads the VERSION of a PRELOGIN answer.
func sqlServerVersion(packet []byte) (string, bool) {
	const header = 8
	if len(packet) < header+5 || packet[0] != 0x04 || packet[header] != 0x00 {
		return "", false
	}
	at := header + int(binary.BigEndian.Uint16(packet[header+1:]))
	if len(packet) < at+4 {
		return "", false
	}
	return fmt.Sprintf("%d.%d.%d", packet[at], packet[at+1], binary.BigEndian.Uint16(packet[at+2:])), true
}
