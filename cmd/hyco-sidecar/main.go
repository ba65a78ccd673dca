// Command hyco-sidecar gives the app beside it the endpoints of Azure Relay
// hybrid connections: it answers their names with loopback addresses, accepts
// the app's connections there, and carries each one through the relay.
//
// Package main is the command line: each command is in a file of its own, reads its
// arguments and the settings, has one of the packages below it do the work, and prints. What
// a running sidecar is made of is in package sidecar.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"hyco-sidecar/cmd/hyco-sidecar/logging"
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
func run(args, environ []string, stdout, stderr io.Writer) (code int) {
	guarded := logging.Guard(logging.New(stderr, slog.LevelInfo, "auto"))
	guarded(func() { code = dispatch(args, environ, stdout, stderr, guarded) })()
	return code
}

// dispatch finds the command and runs it.
func dispatch(args, environ []string, stdout, stderr io.Writer, guarded func(f func()) func()) int {
	name := "run"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "help", "-h", "-help", "--help":
		if len(args) > 0 {
			name, args = args[0], []string{"--help"}
			break
		}
		help(stdout)
		return exitOK
	case "-version", "--version":
		name = "version"
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		fmt.Fprintf(stderr, "hyco-sidecar: there is no command %q: see `hyco-sidecar help`\n", name)
		return exitInvalid
	}
	c := &call{command: all[i], environ: environ, stdout: stdout, stderr: stderr, guarded: guarded}
	c.flags.Init(name, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	return c.command.run(c, args)
}

// command is one of the program's.
type command struct {
	name    string
	usage   []string // its forms, without the program's name
	summary string
	about   string // what --help says beyond that
	run     func(c *call, args []string) int
}

// call is one execution of a command.
type call struct {
	command
	environ        []string
	stdout, stderr io.Writer
	flags          flag.FlagSet
	guarded        func(f func()) func() // wraps what runs on each goroutine
}

// parse reads flags and arguments, in any order. ok is false when the command is
// done already, with code. Most is how many arguments may stand beside the flags.
func (c *call) parse(args []string, most int) (rest []string, code int, ok bool) {
	for {
		if err := c.flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			c.help(c.stdout)
			return nil, exitOK, false
		} else if err != nil {
			return nil, c.rejectArgs(err), false
		}
		args = c.flags.Args()
		if len(args) == 0 {
			break
		}
		rest, args = append(rest, args[0]), args[1:]
	}
	if len(rest) > most {
		return nil, c.rejectArgs(fmt.Errorf("unexpected argument %q", rest[most])), false
	}
	return rest, exitOK, true
}

// rejectArgs says what is wrong with the arguments, and returns the exit code.
func (c *call) rejectArgs(err error) int {
	fmt.Fprintf(c.stderr, "hyco-sidecar %s: %v\n", c.name, err)
	c.printUsage(c.stderr)
	return exitInvalid
}

// fail says what went wrong, and returns code.
func (c *call) fail(code int, err error) int {
	fmt.Fprintf(c.stderr, "hyco-sidecar: %v\n", err)
	return code
}
