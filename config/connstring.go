package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// connectionString is what a relay connection string says.
type connectionString struct {
	namespace string // host[:port]
	entity    string // EntityPath, "" when absent
	keyName   string
	key       string
	signature string // a ready-made token

	managedIdentity bool
}

// keyWord matches a key of a connection string that may be shown. Other text may be
// part of a secret.
var keyWord = regexp.MustCompile(`^[A-Za-z]{1,32}$`)

// keyShape matches text that is a shared access key and not the name of a rule: 40
// characters of base64, or base64's padding.
var keyShape = regexp.MustCompile(`^[A-Za-z0-9+/]{40,}$|=$`)

const portalShape = "copy it from the portal: Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…;EntityPath=…"

// parseConnectionString reads a connection string as the portal shows it
// (docs/relay-protocol.md §1): key=value pairs separated by semicolons, keys in any
// case, the last of two equal keys winning. Space around keys and values is ignored.
// An empty problem means success. Problems never quote a value.
func parseConnectionString(text string) (cs connectionString, problem, remedy string) {
	values := make(map[string]string)
	part := 0
	for pair := range strings.SplitSeq(text, ";") {
		part++
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok {
			return cs, fmt.Sprintf("part %d of the connection string has no '='", part), portalShape
		}
		lower := strings.ToLower(name)
		switch lower {
		case "endpoint", "entitypath", "sharedaccesskeyname", "sharedaccesskey", "sharedaccesssignature", "authentication", "operationtimeout":
			values[lower] = value
		default:
			if !keyWord.MatchString(name) {
				name = "…"
			}
			return cs, fmt.Sprintf("part %d of the connection string has the unknown key %q", part, name), portalShape
		}
	}

	cs.keyName, cs.key, cs.signature = values["sharedaccesskeyname"], values["sharedaccesskey"], values["sharedaccesssignature"]
	if cs.namespace, problem = namespace(values["endpoint"]); problem != "" {
		return cs, problem, portalShape
	}
	if cs.entity, problem = entityPath(values["entitypath"]); problem != "" {
		return cs, problem, portalShape
	}
	switch {
	case values["authentication"] != "" && !isManagedIdentity(values["authentication"]):
		return cs, "Authentication has an unknown value", "write Authentication=Managed Identity, or use SharedAccessKeyName and SharedAccessKey"
	case values["authentication"] != "" && (cs.keyName != "" || cs.key != "" || cs.signature != ""):
		return cs, "Authentication cannot be combined with SharedAccessKey or SharedAccessSignature", "keep one of the two"
	case cs.signature != "" && (cs.keyName != "" || cs.key != ""):
		return cs, "SharedAccessSignature cannot be combined with a key", "keep one of the two"
	case cs.signature != "" && !validSignature(cs.signature):
		return cs, "SharedAccessSignature is not a token", "write a token that begins with \"SharedAccessSignature \" and has the fields sr, sig, se and skn"
	case keyShape.MatchString(cs.keyName):
		return cs, "SharedAccessKeyName looks like a key", "check that name and key are not swapped"
	case strings.ContainsFunc(cs.key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return cs, "SharedAccessKey contains a character that no key has", "copy the key from the portal"
	case cs.keyName == "" && cs.key != "":
		return cs, "SharedAccessKeyName is missing", "add the name of the key's rule, for example defaultSender"
	case cs.keyName != "" && cs.key == "":
		return cs, "SharedAccessKey is missing", "add the key of the rule"
	case len(cs.keyName) > 256 || len(cs.key) > 256:
		return cs, "SharedAccessKeyName or SharedAccessKey is longer than 256 characters", portalShape
	}
	cs.managedIdentity = values["authentication"] != ""
	return cs, "", ""
}

// isManagedIdentity ignores case and spaces, as the .NET library does
// (docs/relay-protocol.md §1).
func isManagedIdentity(value string) bool {
	return strings.EqualFold(strings.ReplaceAll(value, " ", ""), "ManagedIdentity")
}

// namespace returns host[:port] of an endpoint sb://host[:port]/. An empty problem
// means success.
func namespace(endpoint string) (host, problem string) {
	if endpoint == "" {
		return "", "Endpoint is missing in the connection string"
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Hostname() == "":
		return "", "Endpoint in the connection string is not a URI"
	case !strings.EqualFold(u.Scheme, "sb"):
		return "", fmt.Sprintf("Endpoint in the connection string has the scheme %s instead of sb", show(u.Scheme))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return "", "Endpoint in the connection string has more than a host"
	}
	host = strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if !hostName.MatchString(host) && !isIP(host) {
		return "", "Endpoint in the connection string has no valid host"
	}
	if strings.HasSuffix(u.Host, ":") {
		return "", "Endpoint in the connection string has no valid port"
	}
	if u.Port() == "" {
		return host, ""
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return "", "Endpoint in the connection string has no valid port"
	}
	return net.JoinHostPort(host, u.Port()), ""
}

// entityName matches what azbridge accepts as the name of a hybrid connection
// (docs/relay-protocol.md §9).
var entityName = regexp.MustCompile(`^[0-9A-Za-z_.-]+(/[0-9A-Za-z_.-]+)*$`)

func entityPath(path string) (entity, problem string) {
	switch {
	case path == "":
		return "", ""
	case strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/"):
		return "", "EntityPath begins or ends with '/'"
	case len(path) > 260 || !entityName.MatchString(path):
		return "", "EntityPath is not the name of a hybrid connection"
	}
	return path, ""
}

func validSignature(token string) bool {
	scheme, fields, ok := strings.Cut(token, " ")
	if !ok || !strings.EqualFold(scheme, "SharedAccessSignature") {
		return false
	}
	q, err := url.ParseQuery(fields)
	return err == nil && q.Has("sr") && q.Has("sig") && q.Has("se") && q.Has("skn")
}
