package advice

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"hyco-sidecar/relayclient"
)

// dial makes a function of an entry of one that takes a failed dial. It has nothing
// to say of other errors.
func dial(next func(*relayclient.DialError) string) func(error) string {
	return func(err error) string {
		if e, ok := errors.AsType[*relayclient.DialError](err); ok {
			return next(e)
		}
		return ""
	}
}

func allowTCP(e *relayclient.DialError) string { return "allow TCP to " + e.Host }

func dontInterceptTLS(e *relayclient.DialError) string {
	return "check that nothing on the way to " + e.Host + " intercepts TLS"
}

func checkEntity(e *relayclient.DialError) string {
	return fmt.Sprintf("check EntityPath %q against the namespace %s", e.Entity, e.Host)
}

func startListener(e *relayclient.DialError) string {
	return fmt.Sprintf("start a Hybrid Connection Manager for %q, or restart it if the portal shows it as connected", e.Entity)
}

func findRelay(e *relayclient.DialError) string {
	return "check that " + e.Host + " is the relay and that nothing on the way, a proxy or a portal, answers in its place"
}

func findAnswer(e *relayclient.DialError) string {
	switch {
	case e.Status != 0:
		return "quote the tracking id to Azure support"
	case e.Stage == relayclient.StageUpgrade && errors.Is(e, relayclient.ErrAttemptTimeout):
		return "restart the Hybrid Connection Manager: the relay holds its answer back until a listener takes the connection"
	}
	return "check that " + e.Host + " is the relay and not something on the way to it"
}

// checkListener is for a listener that was told something first and did not answer.
func checkListener(e *relayclient.DialError) string {
	if errors.Is(e, relayclient.ErrAttemptTimeout) {
		return "check that the listener is of the kind that is set in HYCO_CONNECTION_N_LISTENER, " +
			"and that it reaches its target (aztunnel answers after its --connect-timeout: set that to 15s)"
	}
	return "look into the listener's log, and check that it is of the kind that is set in HYCO_CONNECTION_N_LISTENER"
}

// Tokens.

// orBoth adds that no other credential works, where one was tried.
func orBoth(e *relayclient.DialError, next string) string {
	if e.AllRefused {
		return next + "; the other credential did not work either"
	}
	return next
}

func authorize(e *relayclient.DialError) string {
	switch {
	case e.AllRefused:
		return "check both connection strings, that their rules have the Send right, and this machine's clock: the relay refused either key"
	case e.Token == relayclient.NoToken:
		return "add a key with the Send right to the connection string: this hybrid connection requires one"
	case e.Token == relayclient.BearerToken:
		return "give the identity the role Azure Relay Sender on the hybrid connection or the namespace; a new assignment takes up to five minutes"
	}
	return "check SharedAccessKeyName and SharedAccessKey, that the rule has the Send right, and this machine's clock"
}

func renewToken(e *relayclient.DialError) string {
	switch e.Token {
	case relayclient.ReadyMadeToken:
		return orBoth(e, "make a new SharedAccessSignature, or use SharedAccessKeyName and SharedAccessKey, from which tokens are made as they are needed")
	case relayclient.BearerToken:
		return orBoth(e, "set this machine's clock: by it, the token of Entra ID is still good")
	}
	return orBoth(e, "check this machine's clock: the token was made just now, for an hour")
}

func setClock(e *relayclient.DialError) string {
	if e.ClockOffset == 0 {
		return ""
	}
	return orBoth(e, "set this machine's clock, which is "+relayclient.DescribeOffset(e.ClockOffset)+": tokens are signed by it")
}

func useRightToken(e *relayclient.DialError) string {
	return orBoth(e, fmt.Sprintf("use a token, or a connection string, that was made for %q of %s", e.Entity, e.Host))
}

// allowReading is for a question about a hybrid connection, which takes another
// right than a dial.
func allowReading(e *relayclient.DialError) string {
	if e.Token == relayclient.BearerToken {
		return orBoth(e, "give the identity the role Azure Relay Listener as well, or write host:port instead")
	}
	return orBoth(e, "give the key's rule the Listen right as well, or write host:port instead")
}

// Proxies.

func reachProxy(e *relayclient.DialError) string {
	if e.Untrusted() {
		return "name the certificate authority of the proxy " + e.Proxy + " in HYCO_CA_FILE, and the proxy in HTTPS_PROXY as its certificate does"
	}
	return "check that HTTPS_PROXY names the proxy, and allow TCP to " + e.Proxy
}

func authorizeAtProxy(e *relayclient.DialError) string {
	switch {
	case len(e.ProxySchemes) > 0 && !slices.Contains(e.ProxySchemes, "basic"):
		return fmt.Sprintf("have the proxy take Basic, or let this machine through: it takes %s alone, which is not supported", strings.Join(e.ProxySchemes, ", "))
	case e.ProxyCredentials:
		return "correct HTTPS_PROXY: the proxy refused the user name or the password in it"
	}
	return "put the credentials into HTTPS_PROXY: http://user:password@" + e.Proxy
}

func openProxy(e *relayclient.DialError) string {
	if e.Temporary() { // it cannot, rather than that it may not
		return fmt.Sprintf("see on the proxy whether it reaches %s and finds its name; or put the relay's host into NO_PROXY, where no proxy is needed", e.Host)
	}
	return fmt.Sprintf("allow the proxy's users CONNECT to %s, or put the relay's host into NO_PROXY, where no proxy is needed", e.Host)
}

func wakeProxy(e *relayclient.DialError) string {
	return fmt.Sprintf("check that HTTPS_PROXY says what is spoken at %s (http, https or socks5), and on the proxy whether it reaches %s", e.Proxy, e.Host)
}

func correctProxy(e *relayclient.DialError) string {
	if errors.Is(e, relayclient.ErrNotProxy) {
		return fmt.Sprintf("check scheme and port in HTTPS_PROXY: what is spoken at %s, http, https or socks5", e.Proxy)
	}
	return "check scheme, host and port in HTTPS_PROXY, and look into the log of the proxy"
}
