package config

import (
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"
)

// Config is everything that an operator has set, with defaults filled in and
// checked by [Load].
type Config struct {
	Connections []Connection // at least one, in the order given

	DNSListen    []netip.AddrPort
	DNSUpstreams []netip.AddrPort // nil: the nameservers of /etc/resolv.conf
	DNSTTL       time.Duration
	DNSCacheSize int // replies to keep; 0: none

	ConnectTimeout time.Duration
	KeepAlive      time.Duration
	Linger         time.Duration
	IdleTimeout    time.Duration // 0: never
	DrainTimeout   time.Duration
	MaxConnections int
	// WarmConnections are kept ready per namespace; 0: none.
	WarmConnections int

	AdminListen []netip.AddrPort // nil: none
	AdminPprof  bool

	Capture     Capture
	CapturePort uint16 // where connections arrive with Redirect

	// Entra is the identity of the connections whose Credential is Entra; nil
	// where there are none.
	Entra *Entra
	// SecretFiles are the files that secrets were read from, by the variable that
	// each is for. A new Load reads them again.
	SecretFiles map[string]string

	LogLevel  slog.Level
	LogFormat string         // "text", "json" or "auto"
	RootCAs   *x509.CertPool // the system's and those of HYCO_CA_FILE; nil: the system's alone

	standIns standIns          // for endpoints that are discovered later
	read     map[string]Secret // the files that Load has read, by path
}

// Text returns what [Load] read from the file at path, and "" for another file.
func (c Config) Text(path string) string { return c.read[path].Reveal() }

// Connection says that an endpoint is reached through a hybrid connection.
type Connection struct {
	Variable string     // the variable that named the endpoint, for messages
	Host     string     // lower case, no trailing dot; an address's text where Literal; empty where Discover
	Port     uint16     // 1 to 65535; 0 where Discover
	Address  netip.Addr // what stands for Host, equal for equal hosts; the address itself where Literal; invalid where Discover
	Literal  bool       // the app connects to an IP address, without a DNS lookup
	Discover bool       // Host and Port are yet to be read from the relay: see [Config.Discovered]
	Found    bool       // Host and Port were set by [Config.Discovered]

	Source     string     // the variable of the connection string, for messages
	Namespace  string     // host[:port] of the relay
	Entity     string     // name of the hybrid connection
	Credential Credential // what is presented to the relay
	Secondary  Credential // what is presented once Credential is refused; zero: nothing
	Listener   Listener
	PortName   string // name of the port that an Azbridge listener forwards
}

// Credential is what the relay is shown. The zero value presents nothing, which
// works for hybrid connections that do not require client authorization.
type Credential struct {
	KeyName   string // the authorization rule that Key belongs to
	Key       Secret
	Signature Secret // a ready-made token
	Entra     bool   // a token of [Config.Entra]
}

// None reports whether c presents nothing.
func (c Credential) None() bool { return c.Key.Empty() && c.Signature.Empty() && !c.Entra }

// Equal reports whether c and other present the same key, signature or identity.
func (c Credential) Equal(other Credential) bool {
	return c.KeyName == other.KeyName && c.Key.Reveal() == other.Key.Reveal() &&
		c.Signature.Reveal() == other.Signature.Reveal() && c.Entra == other.Entra
}

// String names the credential without showing it.
func (c Credential) String() string {
	switch {
	case c.Entra:
		return "Entra ID"
	case !c.Signature.Empty():
		return "shared access signature"
	case !c.Key.Empty():
		return "key " + c.KeyName
	}
	return "none"
}

// Listener is what serves a hybrid connection on the other side.
type Listener string

// The kinds of listeners.
const (
	HCM      Listener = "hcm"      // Hybrid Connection Manager, or another listener that takes raw bytes
	Azbridge Listener = "azbridge" // expects the name of a port first
	Aztunnel Listener = "aztunnel" // expects the target first, and says whether it was reached
)

// Capture is how the app's connections reach the sidecar.
type Capture string

// The values of Capture.
const (
	Off      Capture = "off"      // each endpoint's port is bound on its stand-in address
	Redirect Capture = "redirect" // rules in the kernel redirect connections to CapturePort
)

// Entra is the identity for which tokens of Entra ID are requested. Azure's library
// reads what else an identity needs, such as IDENTITY_ENDPOINT, from the environment.
type Entra struct {
	Kind                IdentityKind
	TenantID            string // empty with ManagedIdentity
	ClientID            string // with ManagedIdentity: of a user-assigned identity; empty: the system-assigned one
	TokenFile           string // with WorkloadIdentity
	Secret              Secret // with ClientSecret
	Certificate         string // with ClientCertificate: a file, PEM or PKCS #12
	CertificatePassword Secret
	AuthorityHost       string // AZURE_AUTHORITY_HOST; empty: that of the relay's cloud
}

// IdentityKind is how an identity authenticates.
type IdentityKind string

// The kinds of identities, as a person reads them.
const (
	WorkloadIdentity  IdentityKind = "workload identity"
	ClientSecret      IdentityKind = "client secret"
	ClientCertificate IdentityKind = "client certificate"
	ManagedIdentity   IdentityKind = "managed identity"
)
