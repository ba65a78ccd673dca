// Package check walks the way of an app's connection, stage by stage, and says
// where it ends: from the settings over the resolver, the socket and the relay
// to the target itself.
//
// [Checker.Run] takes endpoints and returns a [Report]. A walk goes through all
// stages of [Stages] in their order. The relay is the real one: from its name to
// the listener it is one dial of relayclient, whose failure says how far it came.
// A listener that takes the connection dials its target.
//
// # Attempts
//
// One attempt is made, of ten seconds at most, for a verdict such as no_listener
// has to be quick, and the next check is the retry. Only an attempt that the
// relay leaves without an answer is made a second time, since relays do so now and
// then. When that one gets no answer either although the relay answers other
// requests, it holds its answer back for a listener that does not come:
// not_accepted, else no_answer.
//
// # The resolver and the socket
//
// Where no sidecar runs, both stages are skipped. Where one runs and names do
// not reach it, or nobody accepts, the stage has failed, and the walk goes on:
// the relay can be judged all the same. In the sidecar's own container, whose
// resolv.conf need not be the app's, the sidecar is asked directly, and also where
// it has a port that resolv.conf cannot name. A resolv.conf that names the sidecar
// while nobody answers there is a failure, sidecar or not.
//
// # The target
//
// The target has a second to speak first, as SMTP, SSH, MySQL and others do.
// Then it is sent what its port suggests ([Probe]), and has [Checker.AnswerWait]
// to say anything. Whatever it says, it can be reached. A tunnel that ends without
// a byte is what a Hybrid Connection Manager makes of a target that it cannot
// reach. One that ends right after the question is told from a target that hangs
// up by a second connection, on which nothing is sent.
//
// # JSON
//
// With --json the report is one document, [Report]:
//
//	{
//	  "version": "v1.2.3",
//	  "verdict": "no_listener",           the first failing stage's, unfinished, or healthy
//	  "exit_code": 81,                    of the process; see Verdict.ExitCode
//	  "seconds": 0.134,
//	  "endpoints": [{
//	    "endpoint": "sql01.corp.example:1433",
//	    "address": "127.77.133.98:1433",  absent when the name is not configured
//	    "namespace": "contoso.servicebus.windows.net",
//	    "entity": "sql01-hc",
//	    "credential": "key defaultSender",
//	    "id": "5b8f3c1e-…",               of the connection, as relay and listener know it
//	    "verdict": "no_listener",
//	    "exit_code": 81,
//	    "stages": [{
//	      "stage": "listener",
//	      "result": "failed",             ok, failed or skipped
//	      "seconds": 0.021,
//	      "saw": "404 There are no listeners …",
//	      "verdict": "no_listener",       of a failed stage, as the next four
//	      "next": "start a Hybrid Connection Manager …",
//	      "see": "docs/troubleshooting.md#no_listener",
//	      "tracking_id": "5b8f3c1e-…_G0",
//	      "notes": ["…"]                  of any stage, where there is more to say
//	    }]
//	  }]
//	}
//
// Fields may be added; those that are there stay. No secret is in it.
package check
