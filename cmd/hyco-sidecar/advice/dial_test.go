package advice

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"hyco-sidecar/relayclient"
)

// at is a dial of the hybrid connection orders-hc that failed.
func at(stage relayclient.Stage, status int, err error) relayclient.DialError {
	return relayclient.DialError{Entity: "orders-hc", Host: "contoso.servicebus.windows.net:443", Stage: stage, Status: status, Err: err}
}

// refused is one whose token the relay refused.
func refused(phrase string, token relayclient.TokenKind) relayclient.DialError {
	e := at(relayclient.StageUpgrade, 401, relayclient.ErrUnauthorized)
	e.Phrase, e.Token = phrase, token
	return e
}

// both is e where the other credential did not work either.
func both(e relayclient.DialError) relayclient.DialError {
	e.AllRefused = true
	return e
}

// through is a dial that failed at a proxy.
func through(status int, err error) relayclient.DialError {
	e := at(relayclient.StageProxy, status, err)
	e.Proxy = "proxy.corp.example:3128"
	return e
}

func withUser(e relayclient.DialError, schemes ...string) relayclient.DialError {
	e.ProxyCredentials, e.ProxySchemes = true, schemes
	return e
}

func TestAFailedDialSaysWhatToDo(t *testing.T) {
	untrusted := fmt.Errorf("%w: %w", relayclient.ErrProxyUnreachable, &tls.CertificateVerificationError{Err: errors.New("unknown authority")})
	behind := refused("", relayclient.SignedToken)
	behind.ClockOffset = -time.Hour
	for _, test := range []struct {
		err          relayclient.DialError
		reason, want string
	}{
		{at(relayclient.StageUpgrade, 404, relayclient.ErrNoListener), "no_listener", `start a Hybrid Connection Manager for "orders-hc", or restart it if the portal shows it as connected`},
		{at(relayclient.StageUpgrade, 404, relayclient.ErrUnknownEntity), "unknown_entity", `check EntityPath "orders-hc" against the namespace contoso.servicebus.windows.net:443`},
		{at(relayclient.StageUpgrade, 401, relayclient.ErrAddressBlocked), "address_blocked", "allow this machine's public address in the namespace's networking settings"},
		{at(relayclient.StageUpgrade, 400, relayclient.ErrListenerRejected), "listener_rejected", "ask whoever runs the listener why it rejects"},
		{at(relayclient.StageUpgrade, 504, relayclient.ErrNotAccepted), "not_accepted", "restart the Hybrid Connection Manager, and check that it may reach the relay's gateway hosts on port 443"},
		{at(relayclient.StageUpgrade, 503, relayclient.ErrUnavailable), "relay_unavailable", "wait, or quote the tracking id to Azure support"},
		{at(relayclient.StageUpgrade, 200, relayclient.ErrNotRelay), "not_a_relay", "check that contoso.servicebus.windows.net:443 is the relay and that nothing on the way, a proxy or a portal, answers in its place"},
		{at(relayclient.StageConnect, 0, syscall.EMFILE), "too_many_files", "raise the limit of open files (ulimit -n)"},
		{through(0, fmt.Errorf("%w: %w", relayclient.ErrProxyUnreachable, syscall.ENFILE)), "too_many_files", "raise the limit of open files (ulimit -n)"},
		{at(relayclient.StageTLS, 0, &tls.CertificateVerificationError{Err: errors.New("unknown authority")}), "tls_untrusted", "name the certificate authority of whoever terminates TLS on the way in HYCO_CA_FILE"},
		{at(relayclient.StageResolve, 0, errors.New("no such host")), "relay_name_unknown", "check Endpoint in the connection string, and the nameservers in the sidecar's own /etc/resolv.conf"},
		{at(relayclient.StageConnect, 0, syscall.ECONNREFUSED), "relay_unreachable", "allow TCP to contoso.servicebus.windows.net:443"},
		{at(relayclient.StageTLS, 0, io.EOF), "tls_failed", "check that nothing on the way to contoso.servicebus.windows.net:443 intercepts TLS"},
		{at(relayclient.StageUpgrade, 0, relayclient.ErrAttemptTimeout), "no_answer", "restart the Hybrid Connection Manager: the relay holds its answer back until a listener takes the connection"},
		{at(relayclient.StageUpgrade, 0, io.EOF), "no_answer", "check that contoso.servicebus.windows.net:443 is the relay and not something on the way to it"},
		{at(relayclient.StageUpgrade, 418, io.EOF), "no_answer", "quote the tracking id to Azure support"},

		// Tokens.
		{refused("invalid signature", relayclient.SignedToken), "unauthorized", "check SharedAccessKeyName and SharedAccessKey, that the rule has the Send right, and this machine's clock"},
		{refused("", relayclient.NoToken), "unauthorized", "add a key with the Send right to the connection string: this hybrid connection requires one"},
		{refused("", relayclient.BearerToken), "unauthorized", "give the identity the role Azure Relay Sender on the hybrid connection or the namespace; a new assignment takes up to five minutes"},
		{both(refused("", relayclient.SignedToken)), "unauthorized", "check both connection strings, that their rules have the Send right, and this machine's clock: the relay refused either key"},
		{refused("InvalidAudience", relayclient.ReadyMadeToken), "wrong_audience", `use a token, or a connection string, that was made for "orders-hc" of contoso.servicebus.windows.net:443`},
		{behind, "clock_wrong", "set this machine's clock, which is 1h0m0s behind the relay's: tokens are signed by it"},
		{refused("expired", relayclient.ReadyMadeToken), "token_expired", "make a new SharedAccessSignature, or use SharedAccessKeyName and SharedAccessKey, from which tokens are made as they are needed"},
		{both(refused("expired", relayclient.ReadyMadeToken)), "token_expired", "make a new SharedAccessSignature, or use SharedAccessKeyName and SharedAccessKey, from which tokens are made as they are needed; the other credential did not work either"},
		{refused("expired", relayclient.BearerToken), "token_expired", "set this machine's clock: by it, the token of Entra ID is still good"},
		{refused("expired", relayclient.SignedToken), "token_expired", "check this machine's clock: the token was made just now, for an hour"},
		{at(relayclient.StageToken, 0, errors.New("no identity")), "token_failed", "check the identity that the token is asked for"},
		{both(at(relayclient.StageToken, 0, errors.New("no identity"))), "token_failed", "check the identity that the token is asked for; the other credential did not work either"},

		// Proxies.
		{through(0, untrusted), "proxy_unreachable", "name the certificate authority of the proxy proxy.corp.example:3128 in HYCO_CA_FILE, and the proxy in HTTPS_PROXY as its certificate does"},
		{through(0, relayclient.ErrProxyUnreachable), "proxy_unreachable", "check that HTTPS_PROXY names the proxy, and allow TCP to proxy.corp.example:3128"},
		{through(407, relayclient.ErrProxyUnauthorized), "proxy_unauthorized", "put the credentials into HTTPS_PROXY: http://user:password@proxy.corp.example:3128"},
		{withUser(through(407, relayclient.ErrProxyUnauthorized)), "proxy_unauthorized", "correct HTTPS_PROXY: the proxy refused the user name or the password in it"},
		{withUser(through(407, relayclient.ErrProxyUnauthorized), "ntlm", "basic"), "proxy_unauthorized", "correct HTTPS_PROXY: the proxy refused the user name or the password in it"},
		{withUser(through(407, relayclient.ErrProxyUnauthorized), "negotiate", "ntlm"), "proxy_unauthorized", "have the proxy take Basic, or let this machine through: it takes negotiate, ntlm alone, which is not supported"},
		{through(403, relayclient.ErrProxyRefused), "proxy_refused", "allow the proxy's users CONNECT to contoso.servicebus.windows.net:443, or put the relay's host into NO_PROXY, where no proxy is needed"},
		{through(502, relayclient.ErrProxyRefused), "proxy_refused", "see on the proxy whether it reaches contoso.servicebus.windows.net:443 and finds its name; or put the relay's host into NO_PROXY, where no proxy is needed"},
		{through(0, relayclient.ErrProxyNoAnswer), "proxy_no_answer", "check that HTTPS_PROXY says what is spoken at proxy.corp.example:3128 (http, https or socks5), and on the proxy whether it reaches contoso.servicebus.windows.net:443"},
		{through(0, relayclient.ErrNotProxy), "proxy_failed", "check scheme and port in HTTPS_PROXY: what is spoken at proxy.corp.example:3128, http, https or socks5"},
		{through(0, io.EOF), "proxy_failed", "check scheme, host and port in HTTPS_PROXY, and look into the log of the proxy"},
	} {
		for _, err := range []error{&test.err, fmt.Errorf("wrapped: %w", &test.err)} {
			if got := Next(err); test.err.Reason() != test.reason || got != test.want {
				t.Errorf("%v: got %s, %q\nwant %s, %q", err, test.err.Reason(), got, test.reason, test.want)
			}
		}
	}
}

func TestAQuestionTakesAnotherRight(t *testing.T) {
	for token, want := range map[relayclient.TokenKind]string{
		relayclient.SignedToken: "give the key's rule the Listen right as well, or write host:port instead",
		relayclient.BearerToken: "give the identity the role Azure Relay Listener as well, or write host:port instead",
	} {
		e := refused("", token)
		if got := byName["metadata_not_readable"].about(&e); got != want {
			t.Errorf("token %d: got %q, want %q", token, got, want)
		}
	}
}

func TestAListenerThatDoesNotAnswer(t *testing.T) {
	silent := at(relayclient.StageOpening, 0, relayclient.ErrAttemptTimeout)
	broken := at(relayclient.StageOpening, 0, io.ErrUnexpectedEOF)
	for want, e := range map[string]*relayclient.DialError{
		"check that the listener is of the kind that is set in HYCO_CONNECTION_N_LISTENER, and that it reaches its target (aztunnel answers after its --connect-timeout: set that to 15s)": &silent,
		"look into the listener's log, and check that it is of the kind that is set in HYCO_CONNECTION_N_LISTENER":                                                                         &broken,
	} {
		if got := byName["opening_no_answer"].about(e); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOtherErrorsSayNothing(t *testing.T) {
	for _, err := range []error{nil, io.EOF, context.Canceled} {
		if got := Next(err); got != "" {
			t.Errorf("%v: got %q", err, got)
		}
	}
}
