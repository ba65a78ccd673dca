package config

import (
	"strings"
)

// The choices of HYCO_AUTH.
const (
	authConnectionString = "connection-string"
	authEntra            = "entra"
)

// connectionString reads text, the connection string in variable, and applies
// HYCO_AUTH to it.
func (l *loader) connectionString(variable, text string) (connectionString, bool) {
	cs, problem, remedy := parseConnectionString(text)
	if problem != "" {
		l.faults.add(variable, remedy, "%s", problem)
		return cs, false
	}
	if l.auth == authEntra {
		if !cs.credential().None() && !cs.managedIdentity {
			l.faults.add(variable, "remove the key, or remove HYCO_AUTH", "it contains %s, which HYCO_AUTH=entra excludes", cs.credential().kind())
			return cs, false
		}
		cs.managedIdentity = true
	}
	return cs, true
}

// kind names the field of a connection string that the credential came from.
func (c Credential) kind() string {
	if c.Signature.Empty() {
		return "SharedAccessKey"
	}
	return "SharedAccessSignature"
}

func (cs connectionString) credential() Credential {
	return Credential{KeyName: cs.keyName, Key: NewSecret(cs.key), Signature: NewSecret(cs.signature), Entra: cs.managedIdentity}
}

// secondary reads text, the connection string in variable with the rule's other key.
// It has to be for the hybrid connection of c, which came from the variable first.
func (l *loader) secondary(variable, text, first string, c Connection) Credential {
	cs, problem, remedy := parseConnectionString(text)
	switch other := cs.credential(); {
	case problem != "":
		l.faults.add(variable, remedy, "%s", problem)
	case l.auth == authEntra && !other.Entra:
		l.faults.add(variable, "remove one of the two", "it contains %s, which HYCO_AUTH=entra excludes", other.kind())
	case other.None():
		l.faults.add(variable, "add SharedAccessKeyName and SharedAccessKey", "it has no key that could replace the one in %s", first)
	case c.Namespace == "":
		// The connection string in first is faulty: there is nothing to compare with.
	case cs.namespace != c.Namespace:
		l.faults.add(variable, "write the connection string of the same namespace with its other key", "Endpoint differs from the one in %s", first)
	case cs.entity != "" && c.Entity != "" && !strings.EqualFold(cs.entity, c.Entity):
		l.faults.add(variable, "write the connection string of the same hybrid connection with its other key", "EntityPath differs from the one in %s", first)
	case other.Equal(c.Credential):
		l.faults.add(variable, "write the rule's other key", "it is identical to %s", first)
	default:
		return other
	}
	return Credential{}
}

// listener reads into c which program listens at the other end of the hybrid
// connection.
func (l *loader) listener(c *Connection, variable, value, portVariable, portName string) {
	c.Listener = HCM
	if value != "" {
		c.Listener = Listener(l.choice(variable, value, string(HCM), string(Azbridge), string(Aztunnel)))
	}
	c.PortName = portName
	switch {
	case c.Listener == Azbridge && portName == "":
		l.faults.add(portVariable, "write the name before the colon in azbridge's -T option, for example the port number",
			"it is not set, but %s=azbridge needs it", variable)
	case c.Listener != Azbridge && portName != "":
		l.faults.add(portVariable, "set "+variable+"=azbridge, or remove it", "only azbridge has port names, and %s is %s", variable, c.Listener)
	case len(portName) > 255:
		l.faults.add(portVariable, "write the name from azbridge's -T option", "it is longer than 255 bytes")
	}
}
