package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"unicode"

	"hyco-sidecar/config"
)

// Failure says why there is no token, in one line that holds nothing of a
// token, a secret or an answer but the code and the first sentence of a refusal.
type Failure struct {
	Problem  Problem
	Managed  bool   // the identity is a managed one
	Host     string // host[:port] of who was asked; empty where nobody was
	Code     string // of Entra ID's refusal: the digits after AADSTS; may be empty
	Variable string // the setting that names the file, for problems of files

	text string
}

// Problem sorts failures by what can be done about them.
type Problem string

// The problems.
const (
	FileUnreadable   Problem = "file_unreadable"   // the file of Variable cannot be read
	FileEmpty        Problem = "file_empty"        // the file of Variable is empty
	NoCertificate    Problem = "no_certificate"    // the file of Variable has no certificate with its key
	ClientIDNotTaken Problem = "client_id_refused" // this machine's kind of managed identity has no client ids
	WrongSettings    Problem = "wrong_settings"    // azidentity refuses the settings
	NothingAsked     Problem = "nothing_asked"     // no request was made
	Unreachable      Problem = "unreachable"       // Host cannot be reached, or does not answer
	NotAToken        Problem = "not_a_token"       // Host answers with success, and without a token
	WrongIdentity    Problem = "wrong_identity"    // the machine does not have the identity with the client id of the settings
	Busy             Problem = "busy"              // Host is overloaded or failing
	Refused          Problem = "refused"           // Host refuses, for the reason that Code says
	Expired          Problem = "expired"           // the token that came has expired
	Unknown          Problem = "unknown"
)

// Error says what went wrong.
func (f *Failure) Error() string { return f.text }

// Reason is the label by which the documentation is indexed, for all failures.
func (f *Failure) Reason() string { return "token_failed" }

// failure puts the last request of a fetch that failed into words.
func (c *credential) failure(ctx context.Context, seen *outcome) *Failure {
	f := &Failure{Managed: c.entra.Kind == config.ManagedIdentity, Host: seen.host}
	who := "Entra ID (" + seen.host + ")"
	if f.Managed {
		who = "the managed identity's endpoint (" + seen.host + ")"
	}
	var timeout net.Error
	switch {
	case seen.host == "":
		f.Problem, f.text = NothingAsked, "nothing could be asked for a token"
		return f
	case seen.status == 0 && (ctx.Err() != nil || errors.As(seen.err, &timeout) && timeout.Timeout()):
		f.Problem, f.text = Unreachable, who+" does not answer"
		return f
	case seen.status == 0:
		f.Problem, f.text = Unreachable, who+" cannot be reached: "+oneLine(seen.err.Error())
		return f
	case seen.status == http.StatusOK:
		f.Problem, f.text = NotAToken, who+" answers with something that is not a token"
		return f
	}
	f.text = fmt.Sprintf("%s answers with status %d", who, seen.status)
	if refusal := c.refusal(seen.body); refusal != "" {
		f.text += ": " + refusal
		if m := aadsts.FindStringSubmatch(refusal); m != nil {
			f.Code = m[1]
		}
	}
	switch {
	case f.Managed && seen.status == http.StatusBadRequest && c.entra.ClientID != "":
		f.Problem = WrongIdentity
	case seen.status == http.StatusTooManyRequests, seen.status >= http.StatusInternalServerError:
		f.Problem = Busy
	default:
		f.Problem = Refused
	}
	return f
}

var (
	aadsts = regexp.MustCompile(`^AADSTS(\d+)`)
	// secretLike are tokens, and words that are too long to be of a sentence.
	secretLike = regexp.MustCompile(`eyJ[\w-]{8,}[\w.-]*|[\w+/=~-]{64,}`)
)

// refusal is the first sentence of what the answer says, if it says anything in
// one of the forms that are known: RFC 6749 §5.2 or Azure's own.
func (c *credential) refusal(body []byte) string {
	var answer struct {
		Description string          `json:"error_description"`
		Message     string          `json:"message"`
		Error       json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	var inner struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer.Error, &inner) // it may be a word instead
	text := cmp.Or(answer.Description, answer.Message, inner.Message)
	for _, secret := range []string{
		c.entra.Secret.Reveal(), c.entra.CertificatePassword.Reveal(),
		os.Getenv("IDENTITY_HEADER"), os.Getenv("MSI_SECRET"), //nolint:forbidigo // azidentity takes them from there
	} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	text = secretLike.ReplaceAllString(text, "[redacted]")
	text, _, _ = strings.Cut(text, "\n")
	text, _, _ = strings.Cut(text, ". ")
	return strings.TrimSuffix(oneLine(text), ".")
}

// oneLine keeps a foreign text from being more than one line of ours.
func oneLine(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if text = strings.Join(strings.Fields(text), " "); len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
