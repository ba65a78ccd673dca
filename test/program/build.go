package program

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
)

// RaceDetector reports whether the caller itself was built with the race detector,
// so that what it builds can be as well.
func RaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Build compiles packages, named as go build takes them, into the folder dir.
// They are static programs as in the image, or, with race, ones with the race
// detector, which takes a C compiler and shares what go test -race has compiled.
func Build(ctx context.Context, dir string, race bool, packages ...string) error {
	args := []string{"build", "-o", dir + "/", "-trimpath"}
	cgo := "CGO_ENABLED=0"
	if race {
		args = []string{"build", "-o", dir + "/", "-race"}
		cgo = "CGO_ENABLED=1"
	}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Env = append(cmd.Environ(), cgo)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", strings.Join(packages, " "), err, &output)
	}
	return nil
}
