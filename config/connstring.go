package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// connectionString is what a relay connection string says.
type connectionString struct {
	namespace string // host[:port]
	entity    string // EntityPath, "" when absent
	keyName   string
	key       string
	signature string // a ready-made token
}

// keyWord is a key that can be shown: anything else may be part of a secret.
var keyWord = regexp.MustCompile(`^[A-Za-z]{1,32}$`)

const portalShape = "copy it from the portal: Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…;EntityPath=…"

// parseConnectionString reads the form that the portal shows: key=value pairs
// separated by semicolons, keys in any case, the last of two equal ones winning.
// Space around keys and values is ignored. Problems never quote a value.
func parseConnectionString(text string) (cs connectionString, problem, remedy string) {
	if strings.ContainsAny(text[:1]+text[len(text)-1:], `"'`) {
		return cs, "it stands in quotation marks", "write it without them"
	}
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
	case values["authentication"] != "":
		return cs, "Authentication is not supported", "use SharedAccessKeyName and SharedAccessKey"
	case cs.signature != "" && (cs.keyName != "" || cs.key != ""):
		return cs, "SharedAccessSignature stands beside a key", "keep one of the two"
	case cs.signature != "" && !validSignature(cs.signature):
		return cs, "SharedAccessSignature is not a token", "it begins with \"SharedAccessSignature \" and has the fields sr, sig, se and skn"
	case cs.keyName == "" && cs.key != "":
		return cs, "SharedAccessKeyName is missing", "add the name of the key's rule, for example defaultSender"
	case cs.keyName != "" && cs.key == "":
		return cs, "SharedAccessKey is missing", "add the key of the rule"
	case len(cs.keyName) > 256 || len(cs.key) > 256:
		return cs, "SharedAccessKeyName or SharedAccessKey is longer than 256 characters", portalShape
	}
	return cs, "", ""
}

// namespace takes host[:port] out of sb://host[:port]/.
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
	case u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "":
		return "", "Endpoint in the connection string has more than a host"
	}
	return strings.ToLower(u.Host), ""
}

// entityName is what the bridge tools accept as a name.
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
