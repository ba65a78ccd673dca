package relayclient

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
)

// What [MetadataError.Reason] says.
const (
	reasonMetadataMissing  = "metadata_missing"
	reasonMetadataUnusable = "metadata_unusable"
)

// MetadataError says why metadata does not name an endpoint. Its text fits one line.
type MetadataError struct{ reason, problem string }

func (e *MetadataError) Error() string { return e.problem }

// Reason is "metadata_missing" where nothing is said of an endpoint, "metadata_unusable" where
// what is said cannot be used.
func (e *MetadataError) Reason() string { return e.reason }

func unusable(format string, args ...any) error {
	return &MetadataError{reasonMetadataUnusable, fmt.Sprintf(format, args...)}
}

// Endpoint returns the host:port that the metadata names under the key "endpoint"
// (docs/relay-protocol.md §8), which App Service and the Hybrid Connection Manager use too.
// The error is always a *[MetadataError].
func (d Description) Endpoint() (string, error) {
	if strings.TrimSpace(d.Metadata) == "" {
		return "", &MetadataError{reasonMetadataMissing, "the hybrid connection has no metadata"}
	}
	var pairs []struct {
		Key   string
		Value any // text, where it is the endpoint's
	}
	if err := json.Unmarshal([]byte(d.Metadata), &pairs); err != nil {
		return "", unusable("the hybrid connection's metadata is not a list of keys and values: %q", sanitize(d.Metadata))
	}
	found := ""
	for _, p := range pairs {
		value, isText := p.Value.(string)
		switch {
		case !strings.EqualFold(p.Key, "endpoint"):
		case !isText:
			return "", unusable("the hybrid connection's metadata has a key \"endpoint\" whose value is no text")
		case found != "" && !strings.EqualFold(found, value):
			return "", unusable("the hybrid connection's metadata names two endpoints, %q and %q", sanitize(found), sanitize(value))
		default:
			found = value
		}
	}
	if found == "" {
		return "", &MetadataError{reasonMetadataMissing, "the hybrid connection's metadata has no key \"endpoint\""}
	}
	if _, _, err := net.SplitHostPort(found); err != nil {
		return "", unusable("the hybrid connection's metadata names the endpoint %q, which is not host:port", sanitize(found))
	}
	return found, nil
}
