package advice

import (
	"testing"

	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/relayclient"
)

func TestAnIdentityWithoutATokenSaysWhatToDo(t *testing.T) {
	const (
		assign    = "assign a managed identity to this machine or container app; in Kubernetes, use a workload identity, or let the pod reach 169.254.169.254"
		federated = "check the identity's federated credential: issuer, subject (system:serviceaccount:NAMESPACE:NAME) and audience"
	)
	for _, test := range []struct {
		failure identity.Failure
		want    string
	}{
		{identity.Failure{Problem: identity.FileUnreadable, Variable: "AZURE_FEDERATED_TOKEN_FILE"}, "mount the file where the sidecar may read it, or correct AZURE_FEDERATED_TOKEN_FILE"},
		{identity.Failure{Problem: identity.FileEmpty, Variable: "AZURE_FEDERATED_TOKEN_FILE"}, "check what writes the file"},
		{identity.Failure{Problem: identity.NoCertificate, Variable: "AZURE_CLIENT_CERTIFICATE_PATH"},
			"write an RSA key and its certificate into one PEM file without a password, or check the PKCS #12 file and AZURE_CLIENT_CERTIFICATE_PASSWORD"},
		{identity.Failure{Problem: identity.ClientIDNotTaken, Managed: true}, "leave AZURE_CLIENT_ID out"},
		{identity.Failure{Problem: identity.WrongSettings}, "check AZURE_TENANT_ID and, where it is set, AZURE_AUTHORITY_HOST"},
		{identity.Failure{Problem: identity.NothingAsked}, "report it as a fault of the program"},
		{identity.Failure{Problem: identity.Unreachable, Host: "login.microsoftonline.com"}, "allow HTTPS to login.microsoftonline.com, or name the proxy in HTTPS_PROXY"},
		{identity.Failure{Problem: identity.Unreachable, Managed: true, Host: "169.254.169.254"}, assign},
		{identity.Failure{Problem: identity.NotAToken}, "check that nothing on the way answers in its place"},
		{identity.Failure{Problem: identity.WrongIdentity, Managed: true}, "check AZURE_CLIENT_ID, and that this identity is assigned to the machine or container app"},
		{identity.Failure{Problem: identity.Busy}, "wait: it is asked again by itself"},
		{identity.Failure{Problem: identity.Refused, Managed: true}, assign},
		{identity.Failure{Problem: identity.Refused}, "check AZURE_TENANT_ID and AZURE_CLIENT_ID, and that nothing on the way, a proxy or a portal, answers in its place"},
		{identity.Failure{Problem: identity.Refused, Code: "7000215"}, "set AZURE_CLIENT_SECRET to the secret's value, not to its id"},
		{identity.Failure{Problem: identity.Refused, Code: "7000222"}, "make a new client secret: this one has expired"},
		{identity.Failure{Problem: identity.Refused, Code: "700016"}, "check AZURE_CLIENT_ID, and that the identity is of the tenant in AZURE_TENANT_ID"},
		{identity.Failure{Problem: identity.Refused, Code: "90002"}, "check AZURE_TENANT_ID"},
		{identity.Failure{Problem: identity.Refused, Code: "70021"}, federated},
		{identity.Failure{Problem: identity.Refused, Code: "700213"}, federated},
		{identity.Failure{Problem: identity.Refused, Code: "700024"}, "set this machine's clock, or check what renews the file of AZURE_FEDERATED_TOKEN_FILE"},
		{identity.Failure{Problem: identity.Refused, Code: "700027"}, "add the certificate to the identity's app registration"},
		{identity.Failure{Problem: identity.Refused, Code: "50034"}, "look the code up at https://login.microsoftonline.com/error?code=50034"},
		{identity.Failure{Problem: identity.Expired}, "set this machine's clock"},
		{identity.Failure{Problem: identity.Unknown}, "check the identity that the token is asked for"},
	} {
		if got := Next(&test.failure); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.failure, got, test.want)
		}
		dialled := &relayclient.DialError{Stage: relayclient.StageToken, Err: &test.failure}
		if got := Next(dialled); got != test.want {
			t.Errorf("of a dial, %+v: got %q, want %q", test.failure, got, test.want)
		}
		dialled.AllRefused = true
		if got := Next(dialled); got != test.want+"; the other credential did not work either" {
			t.Errorf("of a dial with two credentials, %+v: got %q", test.failure, got)
		}
	}
}
