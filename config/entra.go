package config

import (
	"net/url"
	"strings"
)

// entra reads the identity from the variables in environ that Azure's own libraries
// read.
func (l *loader) entra(environ []string) *Entra {
	set := make(map[string]string)
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AZURE_") && strings.TrimSpace(value) != "" {
			set[name] = strings.TrimSpace(value)
		}
	}
	e := &Entra{
		Kind:                ManagedIdentity,
		ClientID:            set["AZURE_CLIENT_ID"],
		TokenFile:           set["AZURE_FEDERATED_TOKEN_FILE"],
		Secret:              NewSecret(set["AZURE_CLIENT_SECRET"]),
		Certificate:         set["AZURE_CLIENT_CERTIFICATE_PATH"],
		CertificatePassword: NewSecret(set["AZURE_CLIENT_CERTIFICATE_PASSWORD"]),
		AuthorityHost:       set["AZURE_AUTHORITY_HOST"],
	}
	chosen := ""
	for _, proof := range []struct {
		variable string
		kind     IdentityKind
	}{
		{"AZURE_FEDERATED_TOKEN_FILE", WorkloadIdentity},
		{"AZURE_CLIENT_SECRET", ClientSecret},
		{"AZURE_CLIENT_CERTIFICATE_PATH", ClientCertificate},
	} {
		switch {
		case set[proof.variable] == "":
		case chosen != "":
			l.faults.add(proof.variable, "keep one of the two", "%s is set as well", chosen)
		default:
			chosen, e.Kind = proof.variable, proof.kind
		}
	}
	if chosen != "" {
		e.TenantID = set["AZURE_TENANT_ID"]
		for _, name := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID"} {
			if set[name] == "" {
				l.faults.add(name, "set it to the value that Entra ID shows for the identity", "it is not set, but %s needs it", chosen)
			}
		}
	}
	if u, err := url.Parse(e.AuthorityHost); e.AuthorityHost != "" && (err != nil || u.Scheme != "https" || u.Hostname() == "") {
		l.faults.add("AZURE_AUTHORITY_HOST", "write for example https://login.microsoftonline.com/", "it is not an https URL")
	}
	return e
}
