// Package dnsproxy is the resolver an application in the same network
// namespace asks: it answers a fixed table of names itself and passes every
// other question on to the resolvers the application had before.
//
// # Own names
//
// A name of the [Table] has one IPv4 address and nothing else, for every type
// and whatever the state of the upstreams:
//
//   - A and ANY (RFC 8482) give the address, PTR of the address gives the name;
//   - any other type gives "no data": NOERROR, no answer and a synthetic SOA
//     in the authority section, whose minimum is the TTL (RFC 2308 section
//     2.2). Never NXDOMAIN, which would deny the address as well (RFC 2308 section
//     2.1), and never the upstream's reply, which may have another address;
//   - a class other than IN gives REFUSED.
//
// Only the exact name is ours. A name below it, or one with a search domain
// behind it, is forwarded. The question is echoed as it was written, since
// clients put randomness into its case.
//
// [Canary] answers with the version of the program and an id of this process: it
// tells a person "this is the resolver you are asking". A name below it, known
// to this process alone, tells the [Server] whether an upstream leads back to it.
//
// # Refused
//
// An opcode other than QUERY gets NOTIMP, a message that cannot be read or
// does not ask exactly one question FORMERR, a version of EDNS above 0 BADVERS
// (RFC 6891 section 6.1.3), whatever the name. A message shorter than a header is
// dropped.
//
// # Other names
//
// Everything else is passed on and back byte by byte. Only the id is replaced
// on the way out and restored on the way in, so record types, EDNS options
// and flags (RFC 6891) need not be known here. Each query has a random id, and
// its socket is connected and has a random port, which serves for a tenth of a
// second and 64 queries at most (RFC 5452 section 9.2); a datagram with another id
// or another question is ignored (RFC 5452 section 9.1), and the wait goes on.
//
// Upstreams are asked in the order given, those that do not answer last, until a
// probe finds within five seconds that they answer again. The next one is asked
// when nothing comes for 0.4 s, and after a network error, SERVFAIL and REFUSED; a
// single upstream that is silent for 2 s is asked once more, from another port.
// The first answer is taken. If no upstream gives a better one the first SERVFAIL
// or REFUSED is handed on, and if none answers at all the client gets SERVFAIL: a
// resolver out of reach does not prove that a name does not exist. All together
// takes 4.5 s at most, for common stub resolvers give up after 5 s.
//
// Clients that ask the same at the same time share one query. A reply that is not
// truncated is cached for as long as its shortest TTL says, a day at most, and a
// negative one for as long as its SOA says (RFC 2308 section 5); TTLs count down.
// Replies to queries with EDNS options are not cached. While no upstream answers,
// or the best reply is SERVFAIL, cached replies are given for one more hour, with a
// TTL of 30 s (RFC 8767).
//
// # Who asks, and what for
//
// [Usage] tells whether any app uses us, which is the first thing to know when
// one does not get through; if nobody has asked after five minutes, the log says
// so. A [Sibling] is a name that upstreams deny and that differs from an own one in
// its first label: brokers and replicas that are not configured are found by it.
//
// # Invariants
//
//   - A response is never answered (RFC 1035 section 4.1.1, QR), so two
//     servers cannot keep each other busy.
//   - An own name never reaches an upstream, whatever type or class is asked.
//   - Over UDP a reply has at most the size the client announced (512 bytes
//     without EDNS); one that is larger is cut to header, question and OPT,
//     with TC set (RFC 2181 section 9), and never loses part of a record set.
//     A client on TCP gets it whole.
//   - A forwarded query never delays an own name: readers answer these
//     themselves, and all waiting is done in other goroutines, of which
//     [Server.MaxInFlight] bounds the number.
//   - A client that holds connections on TCP, or takes no replies, keeps nobody
//     else out.
//
// Not done here: DNSSEC validation, DNS over TLS or HTTPS, and zone
// transfers, which need more than one message for an answer.
//
// # Where to read
//
// An own name: udp.go or tcp.go receives the message, serveClients in clients.go
// has query.go read it and answer.go compose the reply.
//
// Any other name: answerNow in clients.go looks into cache.go. On a miss resolve.go
// goes on: answerLater and start share the query by pending.go, and resolve runs it.
// forwarding.go asks one upstream after the other, in the order of upstream.go, each
// by socket.go (or upstreamtcp.go), where match.go tells replies from strays. What
// the cache keeps of a reply is in cachedreply.go. Beside the queries, probe.go finds
// out which upstreams answer.
package dnsproxy
