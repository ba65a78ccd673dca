package preflight

import (
	"context"
	"errors"
	"strings"
	"time"

	"hyco-sidecar/cmd/hyco-sidecar/admin"
	"hyco-sidecar/cmd/hyco-sidecar/advice"
	"hyco-sidecar/cmd/hyco-sidecar/credential"
	"hyco-sidecar/cmd/hyco-sidecar/identity"
	"hyco-sidecar/cmd/hyco-sidecar/plan"
	"hyco-sidecar/relayclient"
)

// signatures looks for ready-made ones that end within a day.
func (p *Preflight) signatures(context.Context) []admin.Finding {
	var found []admin.Finding
	for _, s := range credential.Signatures(p.Plan.Config.Connections) {
		level, verb, left := levelWarning, "ends", time.Until(s.Expires)
		if left <= 0 {
			level, verb = levelError, "ended"
		}
		if left <= credential.FirstWarning {
			found = append(found, fault(level, "signature_ends_soon", "", "the SharedAccessSignature in %s %s at %s", s.Variable, verb, s.Until())...)
		}
	}
	return found
}

// relay makes an ordinary request to the relay of a namespace.
func (p *Preflight) relay(ctx context.Context, namespace string) []admin.Finding {
	var found []admin.Finding
	if proxy := plan.ProxyHost(namespace); proxy != "" {
		found = fine("proxy_in_use", "%s is reached through the proxy %s", namespace, proxy)
	}
	offset, err := p.Clock(ctx, namespace)
	switch failed, _ := errors.AsType[*relayclient.DialError](err); {
	case failed != nil && ctx.Err() == context.Canceled:
		return nil
	case failed != nil:
		return append(found, fault(levelError, failed.Reason(), advice.Next(failed), "%s", strings.TrimPrefix(failed.Error(), "relayclient: "))...)
	case err != nil: // no endpoint is reached through it any more
		return nil
	}
	if p.Offset != nil && offset != 0 {
		p.Offset(namespace, offset)
	}
	if offset.Abs() > relayclient.ClockTolerance {
		return append(found, fault(levelError, "clock_wrong", "",
			"this machine's clock is %s, by what %s says", relayclient.DescribeOffset(offset), namespace)...)
	}
	return append(found, fine("relay_reached", "%s answers", namespace)...)
}

// identity looks whether there is a token of Entra ID.
func (p *Preflight) identity(ctx context.Context, source *identity.Source) []admin.Finding {
	_, err := source.Token(ctx, "")
	failed, _ := errors.AsType[*identity.Failure](err)
	switch expires, _ := source.Expiry(); {
	case ctx.Err() == context.Canceled:
		return nil
	case failed != nil:
		return fault(levelError, "token_failed", advice.Next(failed), "%s: %s", source, failed)
	case err != nil:
		return fault(levelError, "token_failed", "wait: hyco-sidecar check tells what keeps it from coming", "%s: no token has come within %s", source, wait)
	default:
		return fine("token_obtained", "%s: a token that is good until %s", source, expires.UTC().Format(time.RFC3339))
	}
}
