package forwarder

// Cause is why a connection ended, as a stable label for logs and metrics.
type Cause string

// Causes of connections that ended in order, or that the app ended.
const (
	// Closed: both sides ended their streams.
	Closed Cause = "closed"
	// RemoteClosed: the remote side closed fully and missed some of what the app sent.
	RemoteClosed Cause = "remote_closed"
	// AppReset: the app reset the connection before it ended its stream.
	AppReset Cause = "app_reset"
	// AppGaveUp: the app left while we dialled.
	AppGaveUp Cause = "app_gave_up"
	// AppGone: the app closed fully, or reset the connection after ending its stream,
	// before the remote side had ended or without taking all.
	AppGone Cause = "app_gone"
)

// Causes of connections that the app sees reset. Only at Lingered it does not, where it
// had its end of stream before.
const (
	// DialFailed: no connection could be made.
	DialFailed Cause = "dial_failed"
	// TunnelDropped: the remote connection broke off.
	TunnelDropped Cause = "tunnel_dropped"
	// TargetUnreachable: the remote side ended without a byte, within DialTimeout of
	// the join.
	TargetUnreachable Cause = "target_unreachable_suspected"
	// ClosedWithoutData: the remote side ended without a byte, later than DialTimeout
	// after the join.
	ClosedWithoutData Cause = "closed_without_data"
	// Lingered: one side ended, and the other was silent for Linger.
	Lingered Cause = "lingered"
	// IdleTimeout: no data moved for IdleTimeout.
	IdleTimeout Cause = "idle_timeout"
	// Shutdown: the connection was open when the drain was over, or waited for a slot.
	Shutdown Cause = "shutdown"
)

// verdict is why a connection ended, and the error where something went wrong.
type verdict struct {
	cause Cause
	err   error
}

// orderly reports whether a connection that ended for this cause needs nobody's
// attention.
func (c Cause) orderly() bool {
	switch c {
	case Closed, RemoteClosed, AppReset, AppGaveUp, AppGone:
		return true
	}
	return false
}
