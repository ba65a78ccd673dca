package config

import (
	"strings"
)

// The choices of HYCO_AUTH.
const (
	authConnectionString = "connection-string"
	authEntra            = "entra"
)

// connectionString reads the one in variable, and what HYCO_AUTH says of it.
func (l *loader) connectionString(variable, text string) (connectionString, bool) {
	cs, problem, remedy := parseConnectionString(text)
	if problem != "" {
		l.faults.add(variable, remedy, "%s", problem)
		return cs, false
	}
	if l.auth == authEntra {
		if !cs.credential().None() && !cs.managedIdentity {
			l.faults.add(variable, "take the key out, or leave HYCO_AUTH out", "it holds %s beside HYCO_AUTH=entra", cs.credential().kind())
			return cs, false
		}
		cs.managedIdentity = true
	}
	return cs, true
}

// kind says what the credential is, in words that hold none of it.
func (c Credential) kind() string {
	if c.Signature.Empty() {
		return "SharedAccessKey"
	}
	return "SharedAccessSignature"
}

func (cs connectionString) credential() Credential {
	return Credential{KeyName: cs.keyName, Key: NewSecret(cs.key), Signature: NewSecret(cs.signature), Entra: cs.managedIdentity}
}

// secondary reads the connection string of the other key, which has to be for
// the same hybrid connection as the one in first, c.
func (l *loader) secondary(variable, text, first string, c Connection) Credential {
	cs, problem, remedy := parseConnectionString(text)
	switch other := cs.credential(); {
	case problem != "":
		l.faults.add(variable, remedy, "%s", problem)
	case l.auth == authEntra && !other.Entra:
		l.faults.add(variable, "leave one of the two out", "it holds %s beside HYCO_AUTH=entra", other.kind())
	case other.None():
		l.faults.add(variable, "add SharedAccessKeyName and SharedAccessKey", "it holds no key to use instead of that in %s", first)
	case c.Namespace == "":
		// The first says nothing that could be compared.
	case cs.namespace != c.Namespace:
		l.faults.add(variable, "write the connection string of the same namespace with its other key", "Endpoint is not that of %s", first)
	case cs.entity != "" && c.Entity != "" && !strings.EqualFold(cs.entity, c.Entity):
		l.faults.add(variable, "write the connection string of the same hybrid connection with its other key", "EntityPath is not that of %s", first)
	case other.Equal(c.Credential):
		l.faults.add(variable, "write the rule's other key", "it holds what %s holds", first)
	default:
		return other
	}
	return Credential{}
}

// listener reads what serves c on the other side.
func (l *loader) listener(c *Connection, variable, value, portVariable, portName string) {
	c.Listener = HCM
	if value != "" {
		c.Listener = Listener(l.choice(variable, value, string(HCM), string(Azbridge), string(Aztunnel)))
	}
	c.PortName = portName
	switch {
	case c.Listener == Azbridge && portName == "":
		l.faults.add(portVariable, "write what stands before the colon in azbridge's -T option, for example the port", "it is missing for %s=azbridge", variable)
	case c.Listener != Azbridge && portName != "":
		l.faults.add(portVariable, "set "+variable+"=azbridge, or leave it out", "only azbridge has names of ports, and %s is %s", variable, c.Listener)
	case len(portName) > 255:
		l.faults.add(portVariable, "write the name as azbridge has it", "it is longer than 255 bytes")
	}
}
