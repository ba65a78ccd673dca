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
type Failure struct{ text, next string }

// Error says what went wrong.
func (f *Failure) Error() string { return f.text }

// Next says what to do about it, as half a sentence without a full stop.
func (f *Failure) Next() string { return f.next }

// failure puts the last exchange of a fetch that failed into words.
func (c *credential) failure(ctx context.Context, seen *exchange) *Failure {
	managed := c.entra.Kind == config.ManagedIdentity
	who := "Entra ID (" + seen.host + ")"
	next := "allow HTTPS to " + seen.host + ", or name the proxy in HTTPS_PROXY"
	if managed {
		who = "the managed identity's endpoint (" + seen.host + ")"
		next = "assign a managed identity to this machine or container app; in Kubernetes, use a workload identity, or let the pod reach 169.254.169.254"
	}
	var timeout net.Error
	switch {
	case seen.host == "":
		return &Failure{"nothing could be asked for a token", "report it as a fault of the program"}
	case seen.status == 0 && (ctx.Err() != nil || errors.As(seen.err, &timeout) && timeout.Timeout()):
		return &Failure{who + " does not answer", next}
	case seen.status == 0:
		return &Failure{who + " cannot be reached: " + oneLine(seen.err.Error()), next}
	case seen.status == http.StatusOK:
		return &Failure{who + " answers with something that is not a token", "check that nothing on the way answers in its place"}
	}
	refusal := c.refusal(seen.body)
	text := fmt.Sprintf("%s answers with status %d", who, seen.status)
	if refusal != "" {
		text += ": " + refusal
	}
	switch {
	case managed && seen.status == http.StatusBadRequest && c.entra.ClientID != "":
		next = "check AZURE_CLIENT_ID, and that this identity is assigned to the machine or container app"
	case seen.status == http.StatusTooManyRequests, seen.status >= http.StatusInternalServerError:
		next = "wait: it is asked again by itself"
	case !managed:
		next = nextFor(refusal)
	}
	return &Failure{text, next}
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
	for _, secret := range []string{c.entra.Secret.Reveal(), c.entra.CertificatePassword.Reveal(), os.Getenv("IDENTITY_HEADER"), os.Getenv("MSI_SECRET")} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	text = secretLike.ReplaceAllString(text, "[redacted]")
	text, _, _ = strings.Cut(text, "\n")
	text, _, _ = strings.Cut(text, ". ")
	return strings.TrimSuffix(oneLine(text), ".")
}

// nextFor says what to do about a refusal, by its code.
func nextFor(refusal string) string {
	m := aadsts.FindStringSubmatch(refusal)
	if m == nil {
		return "check AZURE_TENANT_ID and AZURE_CLIENT_ID, and that nothing on the way, a proxy or a portal, answers in its place"
	}
	switch m[1] {
	case "7000215":
		return "set AZURE_CLIENT_SECRET to the secret's value, not to its id"
	case "7000222":
		return "make a new client secret: this one has expired"
	case "700016":
		return "check AZURE_CLIENT_ID, and that the identity is of the tenant in AZURE_TENANT_ID"
	case "90002":
		return "check AZURE_TENANT_ID"
	case "70021", "700211", "700212", "700213":
		return "check the identity's federated credential: issuer, subject (system:serviceaccount:NAMESPACE:NAME) and audience"
	case "700024":
		return "set this machine's clock, or check what renews the file of AZURE_FEDERATED_TOKEN_FILE"
	case "700027":
		return "add the certificate to the identity's app registration"
	}
	return "look the code up at https://login.microsoftonline.com/error?code=" + m[1]
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
