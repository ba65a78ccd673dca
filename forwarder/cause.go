package forwarder

// Cause is why a connection ended, as a stable label for logs and metrics.
type Cause string

// The causes. From DialFailed on, the app gets a reset.
const (
	Closed       Cause = "closed"        // both sides ended their streams
	RemoteClosed Cause = "remote_closed" // the remote side closed fully and missed some of what the app sent
	AppReset     Cause = "app_reset"     // the app reset the connection
	AppGaveUp    Cause = "app_gave_up"   // the app left while we dialled
	AppGone      Cause = "app_gone"      // the app closed fully before the remote side had ended, or without taking all

	DialFailed        Cause = "dial_failed"                  // no connection could be made
	TunnelDropped     Cause = "tunnel_dropped"               // the remote connection broke off
	TargetUnreachable Cause = "target_unreachable_suspected" // the remote side ended without a byte soon after it began
	ClosedWithoutData Cause = "closed_without_data"          // the same, later
	Lingered          Cause = "lingered"                     // one side ended and the other stayed silent for Linger; no reset where the app had its end of stream
	IdleTimeout       Cause = "idle_timeout"                 // no data for IdleTimeout
	Shutdown          Cause = "shutdown"                     // still open when the drain was over, or waiting for a slot
)

// verdict is a cause, and what went wrong where something did.
type verdict struct {
	cause Cause
	err   error
}

// orderly reports whether a connection that ended so needs nobody's attention.
func (c Cause) orderly() bool {
	switch c {
	case Closed, RemoteClosed, AppReset, AppGaveUp, AppGone:
		return true
	}
	return false
}
