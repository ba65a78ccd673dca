package main

import (
	"fmt"
	"runtime"

	"hyco-sidecar/cmd/hyco-sidecar/plan"
)

var versionCommand = command{
	name:    "version",
	usage:   []string{"version"},
	summary: "print the version",
	run:     showVersion,
}

// showVersion prints what was built, with what, for what.
func showVersion(c *call, args []string) int {
	if _, code, ok := c.parse(args, 0); !ok {
		return code
	}
	fmt.Fprintf(c.stdout, "hyco-sidecar %s (%s, %s/%s)\n", plan.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}
