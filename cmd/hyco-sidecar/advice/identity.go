package advice

import (
	"errors"

	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/relayclient"
)

const checkIdentity = "check the identity that the token is asked for"

// getToken is for a dial that had no token to present, and for the source of tokens
// itself.
func getToken(err error) string {
	next := checkIdentity
	if f, ok := errors.AsType[*identity.Failure](err); ok {
		next = forIdentity(f)
	}
	if e, ok := errors.AsType[*relayclient.DialError](err); ok {
		return orBoth(e, next)
	}
	return next
}

// forIdentity is for an identity of Entra ID that gets no token.
func forIdentity(f *identity.Failure) string {
	switch f.Problem {
	case identity.FileUnreadable:
		return "mount the file where the sidecar may read it, or correct " + f.Variable
	case identity.FileEmpty:
		return "check what writes the file"
	case identity.NoCertificate:
		return "write an RSA key and its certificate into one PEM file without a password, or check the PKCS #12 file and AZURE_CLIENT_CERTIFICATE_PASSWORD"
	case identity.ClientIDNotTaken:
		return "leave AZURE_CLIENT_ID out"
	case identity.WrongSettings:
		return "check AZURE_TENANT_ID and, where it is set, AZURE_AUTHORITY_HOST"
	case identity.NothingAsked:
		return "report it as a fault of the program"
	case identity.NotAToken:
		return "check that nothing on the way answers in its place"
	case identity.WrongIdentity:
		return "check AZURE_CLIENT_ID, and that this identity is assigned to the machine or container app"
	case identity.Busy:
		return "wait: it is asked again by itself"
	case identity.Expired:
		return "set this machine's clock"
	case identity.Unreachable, identity.Refused:
		switch {
		case f.Managed:
			return "assign a managed identity to this machine or container app; in Kubernetes, use a workload identity, or let the pod reach 169.254.169.254"
		case f.Problem == identity.Unreachable:
			return "allow HTTPS to " + f.Host + ", or name the proxy in HTTPS_PROXY"
		}
		return forCode(f.Code)
	}
	return checkIdentity
}

// forCode is for a refusal of Entra ID, by the digits of its AADSTS code.
func forCode(code string) string {
	switch code {
	case "":
		return "check AZURE_TENANT_ID and AZURE_CLIENT_ID, and that nothing on the way, a proxy or a portal, answers in its place"
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
	return "look the code up at https://login.microsoftonline.com/error?code=" + code
}
