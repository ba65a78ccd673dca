package config

import (
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"
)

// Config is everything that an operator has set, checked.
type Config struct {
	Connections []Connection // at least one, in the order given

	DNSListen    []netip.AddrPort
	DNSUpstreams []netip.AddrPort // nil: the nameservers of /etc/resolv.conf
	DNSTTL       time.Duration
	DNSCacheSize int // replies; 0: none

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
	CapturePort uint16 // where Redirect leads connections to

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

// Text is what Load has read in the file.
func (c Config) Text(path string) string { return c.read[path].Reveal() }

// Connection says that an endpoint is reached through a hybrid connection.
type Connection struct {
	Variable string     // the variable that named the endpoint, for messages
	Host     string     // lower case, no trailing dot; an address's text where Literal; empty where Discover
	Port     uint16     // 1 to 65535; 0 where Discover
	Address  netip.Addr // what stands for Host, equal for equal hosts; the address itself where Literal; invalid where Discover
	Literal  bool       // the app connects to an address and looks nothing up
	Discover bool       // Host and Port are what the relay says: see [Config.Discovered]
	Found    bool       // by Discovered

	Source     string     // the variable of the connection string, for messages
	Namespace  string     // host[:port] of the relay
	Entity     string     // name of the hybrid connection
	Credential Credential // what is presented to the relay
	Secondary  Credential // what is presented when that is refused; zero: nothing
	Listener   Listener
	PortName   string // of an Azbridge listener's forwarder
}

// Credential is what the relay is shown. The zero value is nothing, which works
// for hybrid connections that do not require client authorization.
type Credential struct {
	KeyName   string // rule of Key
	Key       Secret
	Signature Secret // a ready-made token
	Entra     bool   // a token of [Config.Entra]
}

// None reports whether there is nothing to show.
func (c Credential) None() bool { return c.Key.Empty() && c.Signature.Empty() && !c.Entra }

// Equal reports whether both are the same.
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
	HCM      Listener = "hcm"      // Hybrid Connection Manager, or whatever else takes raw bytes
	Azbridge Listener = "azbridge" // expects the name of a port first
	Aztunnel Listener = "aztunnel" // expects the target first, and says whether it was reached
)

// Capture is how the app's connections come to the sidecar.
type Capture string

// The ways of an app's connections.
const (
	Off      Capture = "off"      // each endpoint's port is bound on its stand-in address
	Redirect Capture = "redirect" // the kernel leads them to one port
)

// Entra is the identity that tokens of Entra ID are asked for. What else the
// kinds need, such as IDENTITY_ENDPOINT, is the environment's.
type Entra struct {
	Kind                IdentityKind
	TenantID            string // empty with ManagedIdentity
	ClientID            string // with ManagedIdentity: of a user-assigned one, or empty
	TokenFile           string // with WorkloadIdentity
	Secret              Secret // with ClientSecret
	Certificate         string // with ClientCertificate: a file, PEM or PKCS #12
	CertificatePassword Secret
	AuthorityHost       string // AZURE_AUTHORITY_HOST; empty: that of the relay's cloud
}

// IdentityKind is how an identity proves itself.
type IdentityKind string

// The kinds of identities, as a person reads them.
const (
	WorkloadIdentity  IdentityKind = "workload identity"
	ClientSecret      IdentityKind = "client secret"
	ClientCertificate IdentityKind = "client certificate"
	ManagedIdentity   IdentityKind = "managed identity"
)
