// Command hyco-sidecar gives the app beside it the endpoints of Azure Relay
// hybrid connections: it answers their names with loopback addresses, accepts
// the app's connections there, and carries each one through the relay.
//
// run (serve.go) reads the settings, derives a plan (plan.go), binds every
// socket (bind.go) and then serves. This is the only place where config,
// dnsproxy, forwarder and relayclient meet.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// Exit codes.
const (
	exitOK      = 0 // drained, or printed what was asked for
	exitFailed  = 1 // failed while starting or running
	exitInvalid = 2 // wrong settings or arguments
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run executes one command and returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	name := "run"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "run":
		if code, ok := parse(newFlags("run"), args, stdout, stderr); !ok {
			return code
		}
		return serveCommand(environ, stderr)
	case "config":
		flags := newFlags("config")
		hosts := flags.Bool("hosts", false, "")
		if code, ok := parse(flags, args, stdout, stderr); !ok {
			return code
		}
		return configCommand(environ, *hosts, stdout, stderr)
	case "version", "-version", "--version":
		if code, ok := parse(newFlags("version"), args, stdout, stderr); !ok {
			return code
		}
		fmt.Fprintln(stdout, "hyco-sidecar", version())
		return exitOK
	case "help", "-h", "-help", "--help":
		help(stdout)
		return exitOK
	}
	fmt.Fprintf(stderr, "hyco-sidecar: there is no command %q: see `hyco-sidecar help`\n", name)
	return exitInvalid
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// parse reads a command's flags; ok is false when the command is done already.
func parse(flags *flag.FlagSet, args []string, stdout, stderr io.Writer) (code int, ok bool) {
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		help(stdout)
		return exitOK, false
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "hyco-sidecar %s: %v: see `hyco-sidecar help`\n", flags.Name(), err)
		return exitInvalid, false
	}
	return exitOK, true
}
