package identity

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"hyco-sidecar/config"
)

// silenceSDK keeps AZURE_SDK_GO_LOGGING from having requests written among the lines of
// our log. What it sets is of the whole process and without a lock.
var silenceSDK = sync.OnceFunc(func() { log.SetListener(nil) })

// credential is an azcore.TokenCredential that asks anew at every call, with
// files that are read anew: azidentity's own would give the token that it has
// until five minutes before its end, and keep a certificate for ever. Its errors
// are of type *Failure.
type credential struct {
	entra     *config.Entra
	authority string
	client    *http.Client
}

func newCredential(entra *config.Entra, namespace string, o Options) *credential {
	silenceSDK()
	c := &credential{entra: entra, authority: entra.AuthorityHost, client: newClient(o)}
	if c.authority == "" {
		c.authority = authority(namespace)
	}
	return c
}

// GetToken implements [azcore.TokenCredential].
func (c *credential) GetToken(ctx context.Context, request policy.TokenRequestOptions) (azcore.AccessToken, error) {
	var seen outcome
	asker, failed := c.asker()
	if failed != nil {
		return azcore.AccessToken{}, failed
	}
	token, err := asker.GetToken(withOutcome(ctx, &seen), request)
	if err != nil {
		return azcore.AccessToken{}, c.failure(ctx, &seen)
	}
	return token, nil
}

// asker makes azidentity's credential.
func (c *credential) asker() (azcore.TokenCredential, *Failure) {
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: c.authority},
		Transport: c.client,
		Retry:     policy.RetryOptions{MaxRetries: -1}, // Source tries again, and knows when
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
	// The authority is either one that is known or one that the operator has named,
	// so there is no need to ask Microsoft about it, which private clouds cannot.
	const trusted = true

	e := c.entra
	var asker azcore.TokenCredential
	var err error
	switch e.Kind {
	case config.WorkloadIdentity:
		assertion, failed := readFile("AZURE_FEDERATED_TOKEN_FILE", e.TokenFile)
		if failed != nil {
			return nil, failed
		}
		present := func(context.Context) (string, error) { return strings.TrimSpace(string(assertion)), nil }
		asker, err = azidentity.NewClientAssertionCredential(e.TenantID, e.ClientID, present,
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: trusted})
	case config.ClientSecret:
		asker, err = azidentity.NewClientSecretCredential(e.TenantID, e.ClientID, e.Secret.Reveal(),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: trusted})
	case config.ClientCertificate:
		text, failed := readFile("AZURE_CLIENT_CERTIFICATE_PATH", e.Certificate)
		if failed != nil {
			return nil, failed
		}
		certificates, key, unreadable := azidentity.ParseCertificates(text, []byte(e.CertificatePassword.Reveal()))
		if unreadable != nil {
			return nil, &Failure{Problem: NoCertificate, Variable: "AZURE_CLIENT_CERTIFICATE_PATH",
				text: "the file of AZURE_CLIENT_CERTIFICATE_PATH holds no certificate with its private key that can be read"}
		}
		asker, err = azidentity.NewClientCertificateCredential(e.TenantID, e.ClientID, certificates, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: trusted, SendCertificateChain: true})
	default:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if e.ClientID != "" {
			o.ID = azidentity.ClientID(e.ClientID)
		}
		managed, failed := azidentity.NewManagedIdentityCredential(o)
		asker, err = uncached{managed}, failed
	}
	if err != nil {
		if e.Kind == config.ManagedIdentity {
			return nil, &Failure{Problem: ClientIDNotTaken, Managed: true, text: "this machine's kind of managed identity does not take AZURE_CLIENT_ID"}
		}
		return nil, &Failure{Problem: WrongSettings, text: "the identity's settings cannot be used"}
	}
	return asker, nil
}

// uncached asks past the cache that all managed identities of a process share,
// and that would answer until five minutes before a token's end. A request with
// claims is not answered from it, and the endpoints are not sent any.
type uncached struct{ azcore.TokenCredential }

func (u uncached) GetToken(ctx context.Context, request policy.TokenRequestOptions) (azcore.AccessToken, error) {
	request.Claims = "{}"
	return u.TokenCredential.GetToken(ctx, request)
}

// withoutPath is an error of the file system without the path, which may be what
// belongs into the file.
func withoutPath(err error) string {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err.Error()
	}
	return "unknown"
}

func readFile(variable, path string) ([]byte, *Failure) {
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return nil, &Failure{Problem: FileUnreadable, Variable: variable, text: variable + ": the file cannot be read: " + withoutPath(err)}
	case len(strings.TrimSpace(string(text))) == 0:
		return nil, &Failure{Problem: FileEmpty, Variable: variable, text: variable + ": the file is empty"}
	}
	return text, nil
}
