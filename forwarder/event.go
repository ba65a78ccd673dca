package forwarder

// event is something that happened to a joined connection.
type event uint8

const (
	onAppEnd            event = iota // the app's end of stream was read
	onEndTold                        // the remote side was told of the app's end of stream
	onEndNotTold                     // the remote side could not be told of the app's end of stream
	onRemoteWriteError               // a write to the remote side failed
	onRemoteHalfClose                // the remote side's end of stream was read, and it said that it reads on
	onRemoteClose                    // the remote side's end of stream was read, and it said nothing more
	onRemoteCloseUnused              // the remote side's end of stream was read, with no byte received and the target not known to be reached
	onAppRefusal                     // the app takes nothing more, having ended its stream before
	onAppWriteError                  // a write to the app failed; the end of its stream may have been before
	onAppReset                       // the app reset the connection
	onRemoteReadError                // a read of the remote side failed
	onStallAbandoned                 // a write to the remote side was stuck for Linger, and its app has closed fully
	onBothCopied                     // both directions have ended by themselves
	onShutdown                       // the server ends
	onAskDue                         // askAt is reached
	onAppFoundClosed                 // asked about, the app has closed fully
	onAppFoundOpen                   // asked about, the app has not closed fully
	onAppUnknown                     // nobody can tell whether the app has closed fully
	onGraceOver                      // after the app has left, what it sent had its time to arrive
	onLingerOver                     // with one side ended, the other was silent for Linger
	onIdleOver                       // with both sides open, both were silent for IdleTimeout
	events                           // how many there are
)

// action is what pipe does after an event.
type action uint8

const (
	doNothing action = iota // the connection was over before
	doWait                  // set the timer to what is due next
	doAsk                   // find out whether the app has closed fully
	doEnd                   // close the app's connection as an end of stream, and the remote one
	doReset                 // reset the app's connection, and close the remote one
)
