//go:build linux

// Package e2e_test shows the programs to the users they are for: real, unchanged
// apps in one network namespace, real servers in another, and nothing between
// the two but hyco-sidecar, a stand-in relay and its listeners.
//
// A test names what it needs of the machine and is skipped without it. With
// CI=true a lack is a failure.
package e2e_test

import (
	"os"
	"testing"

	"hyco-sidecar/test/e2e/role"
	"hyco-sidecar/test/e2e/world"
)

func TestMain(m *testing.M) {
	role.Main() // this process may be no test but a part in one
	os.Exit(world.Main(m))
}
