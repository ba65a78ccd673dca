package identity

import (
	"net"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
)

// publicAudience is what tokens for Azure Relay are made for (docs/relay-protocol.md §2.3). The
// documentation names it for every cloud but China, that of the US government
// included.
const publicAudience = "https://relay.azure.net"

// Audience is what tokens for the relay at namespace, host[:port], are made for.
// Relays of one cloud have it in common.
func Audience(namespace string) string {
	if strings.HasSuffix(host(namespace), ".chinacloudapi.cn") {
		return "https://relay.chinacloudapi.cn"
	}
	return publicAudience
}

// authority is who makes tokens for it.
func authority(namespace string) string {
	switch host := host(namespace); {
	case strings.HasSuffix(host, ".chinacloudapi.cn"):
		return cloud.AzureChina.ActiveDirectoryAuthorityHost
	case strings.HasSuffix(host, ".usgovcloudapi.net"):
		return cloud.AzureGovernment.ActiveDirectoryAuthorityHost
	}
	return cloud.AzurePublic.ActiveDirectoryAuthorityHost
}

func host(namespace string) string {
	if host, _, err := net.SplitHostPort(namespace); err == nil {
		namespace = host
	}
	return strings.ToLower(namespace)
}

// hostOf is the name in a URL.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
